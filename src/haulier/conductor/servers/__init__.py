"""What is done to a server that stays where it is: build, power, delete. One module per verb."""
