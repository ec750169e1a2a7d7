"""What in one model corresponds to what in the other: coordinates of the residual stream, roles, layers."""
