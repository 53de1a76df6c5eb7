"""What /openapi.json and /asyncapi.json say, built from the types and tables that the service itself works with."""
