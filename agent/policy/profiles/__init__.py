"""Site profiles that come with the package."""
