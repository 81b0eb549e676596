/// docs/openapi.json, served as it stands there; a test compares the two.
enum OpenAPIDocument {
    static let text = "{}"
}
