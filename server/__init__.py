"""The service: HTTP, command line, configuration. The only place that builds things."""
