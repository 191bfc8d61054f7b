"""What people are told of an apply in their groups: the messages, and how they are posted."""
