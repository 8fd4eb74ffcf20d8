"""What federating was worth: the federated model beside each site's own and the pooled one, on held-out data."""
