def asyncapi_document():
    return {}
