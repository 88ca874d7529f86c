"""What CornerNet adds to a network, free of any network: boxes to target maps, maps to losses, maps to boxes."""
