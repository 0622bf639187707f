"""The image API: Glance v2 as far as the stock clients go. Records in the database, bytes as files of one folder.

No uploaded byte is opened as an image by anything before `inspection` has seen it.
"""
