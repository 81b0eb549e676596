import CulvertCore
import Testing

@Suite struct GateOriginTests {
    @Test(arguments: [
        // pattern, origin, allowed
        ("https://a.example", "https://a.example", true), ("https://a.example", "HTTPS://A.Example", true),
        ("HTTPS://A.EXAMPLE", "https://a.example", true), ("https://a.example", "https://a.example:443", true),
        ("https://a.example:443", "https://a.example", true), ("http://a.example", "http://a.example:80", true),
        ("https://a.example:8443", "https://a.example:8443", true), ("https://[::1]:8443", "https://[::1]:8443", true),
        ("https://[::1]", "https://[::1]:443", true), ("app://bundle", "app://bundle", true),
        ("file://", "file://", true), ("file://", "file://a", false), ("file://", "file:///", false),
        ("file://", "null", false),
        ("https://a.example", "http://a.example", false), ("https://a.example", "https://a.example:8443", false),
        ("https://a.example:8443", "https://a.example", false), ("http://a.example", "http://a.example:443", false),
        ("https://a.example", "https://b.a.example", false), ("https://a.example", "https://a.example.evil", false),
        ("https://a.example", "https://xa.example", false), ("https://a.example", "https://a-example", false),
        // wildcards: one or more whole labels on the left, never none
        ("https://*.a.example", "https://b.a.example", true), ("https://*.a.example", "https://c.b.a.example", true),
        ("https://*.A.example:443", "https://B.a.Example", true),
        ("https://*.a.example:8443", "https://b.a.example:8443", true),
        ("https://*.a.example", "https://a.example", false), ("https://*.a.example", "https://.a.example", false),
        ("https://*.a.example", "https://xa.example", false), ("https://*.a.example", "http://b.a.example", false),
        ("https://*.a.example", "https://b.a.example:8443", false),
        ("https://*.a.example", "https://b.a.example.evil", false),
        ("https://*.a.example", "https://evil/.a.example", false),
        ("https://*.a.example", "https://evil:443@b.a.example", false),
        ("https://*.a.example", "https://evil#.a.example", false),
        ("https://*.a.example", "https://*.a.example", false),
        // every port
        ("http://localhost:*", "http://localhost:3000", true), ("http://localhost:*", "http://localhost", true),
        ("http://localhost:*", "HTTP://LocalHost:80", true), ("http://localhost:*", "https://localhost:3000", false),
        ("http://localhost:*", "http://localhost.evil:3000", false), ("http://localhost:*", "http://localhost:", false),
        ("http://localhost:*", "http://localhost:*", false), ("http://localhost:*", "http://localhost:0", false),
        ("http://localhost:*", "http://localhost:3000.evil", false), ("http://localhost:*", "null", false),
        ("http://[::1]:*", "http://[::1]:3000", true), ("http://[::1]:*", "http://[::2]:3000", false),
        ("https://*.a.example:*", "https://b.a.example:8443", true),
        ("https://*.a.example:*", "https://b.a.example", true),
        ("https://*.a.example:*", "https://a.example:8443", false), ("app://bundle:*", "app://bundle", true),
        // every host of a scheme of its own
        ("moz-extension://*", "moz-extension://0f6e3b2c-11a1-4c5e-9a53-1c6e8f5b0c11", true),
        ("MOZ-extension://*", "moz-extension://a", true), ("moz-extension://*", "chrome-extension://a", false),
        ("moz-extension://*", "moz-extension://", false), ("moz-extension://*", "moz-extension://a/b", false),
        ("moz-extension://*", "moz-extension://a:80", false), ("moz-extension://*", "https://a", false),
        ("moz-extension://*", "null", false), ("app://*", "app://bundle.x", true),
        // every origin, as long as it is one
        ("*", "https://a.example", true), ("*", "http://localhost:3000", true), ("*", "null", true),
        ("*", "file://", true), ("*", "moz-extension://a", true), ("*", "*", false), ("*", "", false),
        ("*", "https://a.example/", false), ("*", "https://a.example, https://b.example", false),
        // null is an origin of its own
        ("null", "null", true), ("null", "NULL", true), ("https://a.example", "null", false),
        ("https://*.a.example", "null", false), ("null", "https://a.example", false), ("null", "https://null", false),
    ])
    func originsMatchAsListed(_ pattern: String, _ origin: String, _ allowed: Bool) throws {
        let policy = OriginPolicy(allow: [try #require(OriginPattern(pattern))], missing: .reject)
        #expect(policy.allows(origins: [origin]) == allowed)
    }

    @Test(arguments: [
        "", " ", "a.example", "//a.example", "https:/a.example", "https://", "://a.example", "https://a.example/",
        "https://a.example/path", "https://a.example?", "https://a.example:", "https://a.example:x",
        "https://a.example:0", "https://a.example:65536", "https://a.example:-1", "https://a.example:+443",
        "https://a.example:99999999999999999999", "https://a.example https://b.example", "https://a.example, null",
        "https://u@a.example", "https://a.example\r\n", "https://a.example\0", "https://\u{E9}.example",
        "ht tp://a.example", "https://[::1]x", "https://[::1]:", "nullx", "null ",
    ])
    func whatIsNoOriginIsNeverAllowed(_ origin: String) {
        #expect(Origin(origin) == nil)
        #expect(OriginPattern(origin) == nil)
        // Not even where one need not be sent.
        #expect(!OriginPolicy(allow: [], missing: .allow).allows(origins: [origin]))
    }

    @Test(arguments: [
        "**", "*:*", "*:80", ":*", "//*", "null:*", "*.a.example", "file://*.", "file://:*", "file://*", "https://*",
        "https://*.", "https://*:443", "https://a.*.example",
        "https://*a.example",
        "https://*.*.example", "*://a.example", "*://*", "http://*", "HTTPS://*", "wss://*", "http://*:*",
        "https://a.example:80:*", "https://a.example:**", "https://a.example:*/", "https://a.example:8*",
        "moz-extension://*:*", "moz-extension://*:80", "moz-extension://*/", "moz-extension://a*",
    ])
    func aStarStandsForWholeLabelsOnTheLeftOnly(_ pattern: String) {
        #expect(OriginPattern(pattern) == nil)
    }

    @Test(arguments: [
        ("", "the text is empty"), ("https://a.example/", "take away the slash"), ("http://localhost:*/", "take away the slash"),
        ("localhost:3000", "the scheme is missing"), ("a.example", "the scheme is missing"), ("exa*mple", "the scheme is missing"),
        ("*.a.example", "the scheme is missing"), ("*://a.example", "* does not stand for one"),
        ("http://*", "for every page write"), ("http://*:*", "for every page write"),
        ("moz-extension://*:80", "nothing behind its *"), ("file://*", "file://, without a host"),
        ("https://*.*.example", "a * stands once"), ("https://exa*mple", "a * stands once"),
        ("https://a.example:8*", "a * stands once"),
        ("https://a.example:99999", "a port is a number"), ("https://a.example:x", "a port is a number"),
        ("https://a.example:80:*", "a port is a number"), ("https://*.[::1]", "an address has no labels"),
        ("https://[::1]x", "stands in brackets"), ("https://[::1]:0", "stands in brackets"), ("https://", "the host is missing"),
        ("https://a..example", "a host is a name"), ("https://u@a.example", "no user name"),
        ("https://a.example, null", "one origin"), ("https://\u{E9}.example", "xn--"),
    ])
    func whatKeepsATextFromBeingAPatternIsSaid(_ text: String, _ words: String) {
        #expect(OriginPattern(text) == nil)
        let message = OriginFault.message(text)
        #expect(message.contains(words) && message.hasSuffix(OriginFault.forms), "\(message)")
    }

    @Test(arguments: [(MissingOrigin.allow, true), (.reject, false)])
    func aMissingOriginIsTheRoutesChoice(_ missing: MissingOrigin, _ allowed: Bool) throws {
        let pattern = try #require(OriginPattern("https://a.example"))
        #expect(OriginPolicy(allow: [pattern], missing: missing).allows(origins: []) == allowed)
        #expect(OriginPolicy(allow: [], missing: missing).allows(origins: []) == allowed)
    }

    @Test func moreThanOneOriginIsNeverAllowed() throws {
        let pattern = try #require(OriginPattern("https://a.example"))
        let policy = OriginPolicy(allow: [pattern], missing: .allow)
        #expect(policy.allows(origins: ["https://a.example"]))
        #expect(!policy.allows(origins: ["https://a.example", "https://a.example"]))
        #expect(!policy.allows(origins: ["https://a.example", "null"]))
    }

    @Test func anyListedPatternIsEnough() {
        let patterns = ["https://a.example", "https://*.b.example", "null"].compactMap(OriginPattern.init)
        let policy = OriginPolicy(allow: patterns, missing: .reject)
        for origin in ["https://a.example", "https://x.b.example", "null"] {
            #expect(policy.allows(origins: [origin]))
        }
        #expect(!policy.allows(origins: ["https://x.a.example"]))
    }
}
