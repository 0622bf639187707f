# The guest of 512 bytes. Sector 0 holds this, sector 1 its state, little endian, 32 bits each:
#   +0 boots  +4 clean  +8 blocks a tick  +12 first sector of the blocks  +16 number of blocks (32 KiB)  +20 seq
# Assemble: as --32 -o b.o boot_sector.s && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o b.bin b.o
	.code16
	.intel_syntax noprefix
	.globl _start
	.set STATE, 0x7e00
_start:
	cli
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7c00
	sti
	cld
	mov [drive], dl
	mov ah, 0x42
	call state_io
	jc fail
	inc dword ptr [STATE]
	mov dword ptr [STATE+4], 0
	mov ah, 0x43
	call state_io
	jc fail
	mov dx, 0x602          # PM1_EN: power button enable
	mov ax, 0x100
	out dx, ax
	mov si, offset m_boot
	mov eax, [STATE]
	call line
main:
	mov dx, 0x600          # PM1_STS
	in  ax, dx
	test ah, 1
	jnz down
	mov eax, [0x46c]
	cmp eax, [last]
	jne tick
	hlt
	jmp main
tick:
	mov [last], eax
	test al, 15
	jnz 1f
	mov si, offset m_tick
	mov eax, [STATE+20]
	call line
1:	mov ecx, [STATE+8]
	jecxz main
2:	push ecx
	call wrblk
	jc fail
	pop ecx
	loopd 2b
	mov ah, 0x43
	call state_io
	jc fail
	jmp main
down:
	mov dword ptr [STATE+4], 1
	mov ah, 0x43
	call state_io
	jc fail
	mov si, offset m_down
	mov eax, [STATE+20]
	call line
	mov dx, 0x604          # PM1_CNT: SLP_EN, S5
	mov ax, 0x2000
	out dx, ax
hang:	hlt
	jmp hang
fail:
	mov si, offset m_fail
	movzx eax, ah
	call line
	jmp hang

wrblk:	# write one 32 KiB block holding seq
	mov eax, [STATE+20]
	xor edx, edx
	div dword ptr [STATE+16]
	shl edx, 6
	add edx, [STATE+12]
	mov [lba], edx
	mov eax, [STATE+20]
	mov bx, 0x1000
	mov es, bx
	xor di, di
	mov cx, 64
3:	mov es:[di], eax
	mov es:[di+4], edx
	add di, 512
	loop 3b
	mov word ptr [cnt], 64
	mov word ptr [off], 0
	mov word ptr [seg], 0x1000
	inc dword ptr [STATE+20]
	mov ah, 0x43
	jmp io
state_io:
	mov word ptr [cnt], 1
	mov word ptr [off], STATE
	mov word ptr [seg], 0
	mov dword ptr [lba], 1
io:	mov si, offset dap
	mov dl, [drive]
	mov al, 0
	int 0x13
	ret

line:	# si = text, eax = number -> "text hhhhhhhh\r\n"
	push eax
4:	lodsb
	test al, al
	jz 5f
	call putc
	jmp 4b
5:	pop edx
	mov cx, 8
6:	rol edx, 4
	mov al, dl
	and al, 15
	add al, '0'
	cmp al, '9'
	jbe 7f
	add al, 39
7:	call putc
	loop 6b
	mov al, 13
	call putc
	mov al, 10
putc:	push dx
	mov dx, 0x3f8
	out dx, al
	pop dx
	ret
m_boot:	.asciz "BOOT "
m_tick:	.asciz "TICK "
m_down:	.asciz "DOWN "
m_fail:	.asciz "FAIL "
drive:	.byte 0
last:	.long 0
dap:	.byte 16, 0
cnt:	.word 1
off:	.word STATE
seg:	.word 0
lba:	.quad 1
	.org 510
	.word 0xaa55
