"""What runs around a Python function inside its container. No part of it is meant to be imported by functions."""
