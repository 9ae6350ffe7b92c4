"""Running compiled networks: named arrays in, named arrays out."""
