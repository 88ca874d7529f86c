"""What CornerNet adds to a network, free of any network: decoding corner maps into boxes."""
