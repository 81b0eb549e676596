import CulvertCore
import Testing

/// What a peer sends is taken apart at its bytes, whatever Unicode makes of what stands beside a delimiter.
@Suite("Text by bytes")
struct BytewiseTests {
    /// Characters that join their neighbours into one grapheme, and such as are equivalent to ASCII.
    static let marks = [
        "\u{301}", "\u{600}", "\u{200D}", "\u{FE0F}", "\u{903}", "\u{D4E}", "\u{37E}", "\u{212A}", "\u{1FEF}",
    ]

    /// With `mark` in front of, behind, and on both sides of each delimiter.
    private static func spoilt(_ text: String, at delimiters: String, with mark: String) -> [String] {
        [(mark, ""), ("", mark), (mark, mark)].map { before, behind in
            text.unicodeScalars.reduce(into: "") { out, scalar in
                let isDelimiter = delimiters.unicodeScalars.contains(scalar)
                out += isDelimiter ? before : ""
                out.unicodeScalars.append(scalar)
                out += isDelimiter ? behind : ""
            }
        }
    }

    /// Letters have no such meaning: what a parser finds beside them it must find beside marks.
    private static func check(
        _ text: String, at delimiters: String, _ mark: String, _ count: (String) -> Int
    ) {
        for (spoilt, plain) in zip(
            Self.spoilt(text, at: delimiters, with: mark), Self.spoilt(text, at: delimiters, with: "zz"))
        {
            #expect(count(spoilt) == count(plain), "\(spoilt.debugDescription)")
        }
    }

    @Test("No mark hides a delimiter", arguments: marks)
    func delimiters(mark: String) {
        Self.check("a, b,c , d", at: ",", mark) { FieldValue.list([$0]).count }
        Self.check(#"a;x="1,2", b"#, at: ",\"", mark) { FieldValue.list([$0]).count }
        Self.check("/a/_poll/ID/close", at: "/", mark) { PollTarget.parse(path: $0) == nil ? 0 : 1 }
        #expect(FieldValue.hasEssence("Text/plain\(mark);\(mark)x", "text/plain\(mark)"))
        #expect(!FieldValue.hasEssence("text/plain\(mark);\(mark)x", "text/plain"))
        Self.check("a=1&b=2&c", at: "&=", mark) { Query.rawValue(of: "b", in: $0) == nil ? 0 : 1 }
        Self.check("/a?b=c?d", at: "?", mark) { RequestTarget($0).query == nil ? 0 : 1 }
        Self.check("http://a.example/b?c", at: ":/?", mark) { RequestTarget($0).authority == nil ? 0 : 1 }
        for host in Self.spoilt("a.example:80", at: ":.", with: mark) { #expect(!HostPort.isValid(host)) }
        Self.check("keep-alive, Upgrade", at: ",", mark) {
            Handshake.isUpgrade(connection: [$0], upgrade: ["websocket"]) ? 1 : 0
        }
    }

    @Test(
        "What is equivalent to ASCII is not equal to it",
        arguments: [("\u{212A}", "K"), ("\u{37E}", ";"), ("\u{1FEF}", "`")])
    func equivalents(text: String, ascii: String) {
        // As Swift compares them.
        #expect(text == ascii)
        #expect(!text.equals(ascii) && !text.equalsIgnoringCase(ascii) && !text.equalsIgnoringCase("k"))
        #expect(!["x", ascii].contains(bytesEqualTo: text))
    }

    @Test(
        "A number consists of digits",
        arguments: [
            ("0", 0), ("65535", 65535), ("007", 7), ("", nil), ("65536", nil), ("+1", nil), ("-1", nil), (" 1", nil),
            ("1 ", nil),
            ("1_0", nil), ("0x1", nil), ("\u{661}", nil), ("1\u{301}", nil), ("99999999999999999999999999", nil),
            ("1e3", nil),
        ] as [(String, UInt16?)])
    func numbers(text: String, number: UInt16?) {
        #expect(text.decimal(as: UInt16.self) == number)
    }

    @Test(
        "Triplets are decoded, and what is malformed is not guessed at",
        arguments: [
            ("a%20b", "a b"), ("%41%c3%A9", "Aé"), ("", ""), ("a+b", "a+b"), ("%", nil), ("%4", nil), ("%zz", nil),
            ("%FF", nil),
            ("%C3", nil), ("%+1", nil), ("%\u{301}41", nil),
        ] as [(String, String?)])
    func decoding(text: String, decoded: String?) {
        #expect(PercentEncoding.decode(text) == decoded)
        #expect(PercentEncoding.decode(text, isForm: true) == decoded?.split(separator: "+").joined(separator: " "))
    }

    @Test(
        "A parameter is found by its name, however that is encoded",
        arguments: [
            ("a=1", "a", "1"), ("b=2&a=1", "a", "1"), ("a", "a", ""), ("a=", "a", ""), ("a=1=2", "a", "1=2"),
            ("%61=1", "a", "1"),
            ("%6A%6b=1&j", "jk", "1"), ("a=%zz", "a", "%zz"), ("aa=1", "a", nil), ("=1", "a", nil), ("", "a", nil),
            ("&&", "a", nil),
            ("a\u{301}=1", "a", nil), ("\u{301}&a=1", "a", "1"), ("%2561=1", "a", nil), ("a=1&a=2", "a", "1"),
            ("A=1", "a", nil),
        ] as [(String, String, String?)])
    func parameters(query: String, name: String, value: String?) {
        #expect(Query.rawValue(of: name, in: query).map(String.init) == value)
    }

    @Test(
        "A target is a path and a query, and has a host in absolute form",
        arguments: [
            ("/", "/", nil, nil), ("/a?b", "/a", "b", nil), ("/a?", "/a", "", nil), ("/a?b?c", "/a", "b?c", nil),
            ("*", "*", nil, nil),
            ("http://h/a?b", "/a", "b", "h"), ("WSS://h:1", "/", nil, "h:1"), ("http://h?x", "/", "x", "h"),
            ("http://", "/", nil, ""),
            ("ftp://h/a", "ftp://h/a", nil, nil), ("/http://h/a", "/http://h/a", nil, nil),
            ("http:/h/a", "http:/h/a", nil, nil),
            ("//h/a", "//h/a", nil, nil), ("http://u@h/a", "/a", nil, "u@h"), ("", "", nil, nil),
            ("http://h#f", "/#f", nil, "h"),
        ] as [(String, String, String?, String?)])
    func targets(text: String, path: String, query: String?, authority: String?) {
        let target = RequestTarget(text)
        #expect(target.path == path && target.query == query && target.authority == authority)
    }

    @Test("Whatever is read is read in time in proportion to its bytes")
    func time() {
        let clock = ContinuousClock()
        func time(_ count: Int) -> Duration {
            let query = String(repeating: "%&", count: count)
            let list = String(repeating: "\",", count: count)
            let path = "/" + String(repeating: "a;%2e/", count: count)
            return clock.measure {
                #expect(Query.rawValue(of: "access_token", in: query) == nil)
                #expect(FieldValue.list([list]).count <= count)
                #expect(PathPrefix.isSafe(path))
                #expect(!path.contains(bytesOf: "culvert_token"))
            }
        }
        let small = max(time(2_000), .microseconds(200))
        // Quadratic work would take a hundred times more than linear work does.
        #expect(time(200_000) < small * 100 * 20)
    }
}
