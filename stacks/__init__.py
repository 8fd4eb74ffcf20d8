"""What CloudFormation creates: one file per stack, constructs beside them."""
