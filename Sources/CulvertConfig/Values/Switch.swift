/// Words with which YAML files switch something on or off, in a place where a name or a path is expected.
///
/// A carrier, a file or a socket is not called `false`: the word says what the operator wants, in quotation marks too.
enum Switch {
    case on
    case off
    /// YAML's own word for no value.
    case nothing

    /// Nil for any other text.
    init?(_ text: String) {
        switch text.lowercased() {
        case "false", "off", "no", "none": self = .off
        case "null", "~": self = .nothing
        case "true", "on", "yes": self = .on
        default: return nil
        }
    }
}
