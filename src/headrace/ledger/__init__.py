"""What keys, tenants and routes have used, kept in one file for all gateways of a fleet."""
