"""What a user would pick instead, doing the contract of create-contact (../create_contact.py)."""
