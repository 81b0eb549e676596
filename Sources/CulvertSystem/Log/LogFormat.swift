/// The form of a line of the log.
package enum LogFormat: String, Sendable, CaseIterable {
    case text
    case json
}
