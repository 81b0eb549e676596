/// The forms of text that values have. The reader checks each form; the JSON Schema has a definition of the same name
/// for it, with a pattern that takes what the reader takes.
package enum ConfigText: String, CaseIterable, Sendable {
    case text
    case file
    case address
    case adminAddress
    case hostName
    case pathPrefix
    case origin
    case block
    case date
    case carrierName
    case headerName
    case digest
    case subject
    case closeCode
    case pem
    case jwk
    case keySetURL
    case serverURL
    case hashKey
    case serverName
    case target
    case hostHeader
    case statePath
    case socketPath
    case scriptPath

    /// The description of the form in the JSON Schema.
    var summary: String {
        switch self {
        case .text: "text; a number or a boolean is taken as it is written"
        case .file: "the path of a file, relative to the folder of the configuration"
        case .address: "`host:port`, an IPv6 host in brackets"
        case .adminAddress: "`host:port`, `unix:PATH` or `none`"
        case .hostName: "a host name or a bracketed IPv6 address, without a port"
        case .pathPrefix:
            "a path prefix on segment borders, without dot segments, empty segments and parts that servers read in "
                + "different ways"
        case .origin:
            "`scheme://host[:port]`, with `*.` in front of the host for all names below it and `*` for every port; "
                + "`scheme://*` for every host of a scheme such as moz-extension; `file://`, `null`, or `*` for every "
                + "origin"
        case .block: "an address or a block of addresses"
        case .date: "a date and time with its zone"
        case .carrierName: "a name of letters, digits and !#$%&'*+-.^_`|~, or none (false, off and no mean the same)"
        case .headerName: "a name of letters, digits and !#$%&'*+-.^_`|~"
        case .digest: "64 hexadecimal digits"
        case .subject: "1 to 256 printable ASCII characters without a blank at an end"
        case .closeCode: "1000, 1001, 1008, 1012, 1013 or 3000 to 4999"
        case .pem: "a public key or certificate in PEM"
        case .jwk: "a JWK (RFC 7517) as a mapping"
        case .keySetURL: "an `https` URL, or an `http` one on a loopback address"
        case .serverURL: "`ws://host:port` or `wss://host:port`, with at most a path behind it"
        case .hashKey: "`subject`, `address`, `header:NAME` or `query:NAME`"
        case .serverName: "a DNS name"
        case .target: "a path that begins with a slash, percent-encoded"
        case .hostHeader: "a name, with at most a port behind it"
        case .statePath: "the path of a file, or `none`"
        case .socketPath: "the path of a socket, of at most 107 bytes"
        case .scriptPath: "a path that ends in `.js`, of letters, digits and -._~, without the segment `_poll`"
        }
    }

    /// A short name of the form, for a column of the documents.
    var words: String {
        switch self {
        case .text, .subject, .pem: "text"
        case .file: "file"
        case .address, .adminAddress: "address"
        case .hostName: "host"
        case .pathPrefix: "path"
        case .origin: "origin"
        case .block: "address or block"
        case .date: "date and time"
        case .carrierName: "name or `none`"
        case .headerName: "name of a field"
        case .digest: "64 hexadecimal digits"
        case .closeCode: "close code"
        case .jwk: "mapping"
        case .keySetURL, .serverURL: "URL"
        case .hashKey: "`subject`, `address`, `header:NAME` or `query:NAME`"
        case .serverName: "DNS name"
        case .target: "path"
        case .hostHeader: "host"
        case .statePath: "file or `none`"
        case .socketPath: "path of a socket"
        case .scriptPath: "path"
        }
    }

    /// Whether a variable of the environment may stand for the whole value. A variable is never structure.
    var takesVariables: Bool { self != .jwk }

    /// The alternatives of the JSON Schema; a value with a variable of the environment is right beside them.
    var schema: [SchemaJSON] {
        switch self {
        case .text: [["type": ["string", "number", "boolean"]]]
        case .file, .pem: [["type": "string"]]
        case .address: [Self.hostAndPort]
        case .adminAddress: [["enum": ["none"]], Self.pattern("^unix:.+$"), Self.hostAndPort]
        case .hostName:
            [
                Self.pattern(
                    #"^(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|[0-9A-Za-z_~-]+(\.[0-9A-Za-z_~-]+)*\.?)$"#)
            ]
        case .pathPrefix:
            [Self.pattern(#"^/(?!/)(?!.*(//|\\|[#;?]|\s))(?!(.*/)?\.{1,2}(/|$))(?!.*[^/.]\.+(/|$))"#)]
        case .origin: [Self.pattern(Self.origins), ["type": "null"]]
        case .block: [Self.pattern("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")]
        case .date:
            [Self.pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]{8,}([Zz]|[+-][0-9]{2}:[0-9]{2})$")]
        case .carrierName:
            [Self.pattern(Self.names, not: [Self.on, Self.nothing]), ["const": false]]
        case .headerName: [Self.pattern(Self.names, not: [Self.on, Self.off, "[Nn][Oo][Nn][Ee]", Self.nothing])]
        case .digest: [Self.pattern("^[0-9A-Fa-f]{64}$")]
        case .subject: [Self.pattern("^[ -~]+$"), ["type": ["number", "boolean"]]]
        case .closeCode:
            [["enum": [1000, 1001, 1008, 1012, 1013]], ["type": "integer", "minimum": 3000, "maximum": 4999]]
        case .jwk: [["type": "object"]]
        case .keySetURL:
            [
                Self.pattern(
                    "^([Hh][Tt][Tt][Pp][Ss]://[^@/?#]|[Hh][Tt][Tt][Pp]://"
                        + #"(localhost|127\.0\.0\.1|\[::1\])([:/?]|$))"#)
            ]
        case .serverURL:
            [Self.pattern(#"^[Ww][Ss]{1,2}://(\[[0-9A-Fa-f:.]+\]|[^@/?#:\[\]\s]+)(:[0-9]{1,5})?(/[^?#]*)?$"#)]
        case .hashKey: [["enum": ["subject", "address"]], Self.pattern("^(header|query):.+$")]
        case .serverName: [Self.pattern(#"^(?!([0-9]{1,3}\.){3}[0-9]{1,3}$)[0-9A-Za-z._-]{1,253}$"#)]
        case .target: [Self.pattern(##"^/[!"$-~]*$"##)]
        case .hostHeader: [Self.pattern(#"^[0-9A-Za-z._:\[\]-]+$"#)]
        case .statePath: [Self.path(not: [Self.on, Self.nothing, Self.off])]
        case .socketPath:
            [Self.path(not: [Self.on, Self.nothing, Self.off, "[Nn][Oo][Nn][Ee]"], ["maxLength": 107])]
        case .scriptPath:
            [
                Self.pattern(
                    #"^(?!.*/\.{1,2}/)(?!.*/_poll/)(/[A-Za-z0-9._~-]+)*/[A-Za-z0-9._~-]+\.js$"#)
            ]
        }
    }

    private static let on = "[Tt][Rr][Uu][Ee]|[Oo][Nn]|[Yy][Ee][Ss]"
    private static let off = "[Ff][Aa][Ll][Ss][Ee]|[Oo][Ff][Ff]|[Nn][Oo]"
    private static let nothing = "[Nn][Uu][Ll][Ll]|~"
    private static let names = "^[0-9A-Za-z!#$%&'*+.^_`|~-]+$"
    private static let hostAndPort = Self.pattern(#"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%[^\]]+)?\]):0*[0-9]{1,5}$"#)
    private static let origins =
        #"^(\*|[Nn][Uu][Ll][Ll]|[Ff][Ii][Ll][Ee]://|"#
        + #"(?!([Hh][Tt][Tt][Pp]|[Ww][Ss])[Ss]?:|[Ff][Ii][Ll][Ee]:)[A-Za-z0-9+.-]+://\*|"#
        + #"[A-Za-z0-9+.-]+://(\*\.)?([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(:([0-9]+|\*))?)$"#

    private static func pattern(_ pattern: String, not words: [String] = []) -> SchemaJSON {
        let text: SchemaJSON = ["type": "string", "pattern": .string(pattern)]
        return words.isEmpty ? text : text.adding(Self.not(words))
    }

    private static func path(not words: [String], _ more: SchemaJSON = [:]) -> SchemaJSON {
        (["type": "string", "minLength": 1] as SchemaJSON).adding(more).adding(Self.not(words))
    }

    private static func not(_ words: [String]) -> SchemaJSON {
        ["not": ["pattern": .string("^(" + words.joined(separator: "|") + ")$")]]
    }
}
