import CulvertCore
import Testing

@Suite("Trusted proxies")
struct TrustedProxiesTests {
    private static let trusted = TrustedProxies(
        ["10.0.0.0/8", "192.168.1.0/25", "2001:db8::/32", "127.0.0.1"].compactMap(AddressBlock.init))

    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var peer = "10.0.0.1"
        var forwardedFor: [String] = []
        var forwarded: [String] = []
        var client: String
        var hops: [String] = ["10.0.0.1"]
    }

    @Test(arguments: [
        Row(testDescription: "nobody says anything", client: "10.0.0.1", hops: []),
        Row(
            testDescription: "a stranger says something", peer: "203.0.113.9", forwardedFor: ["198.51.100.1"],
            client: "203.0.113.9", hops: []),
        Row(testDescription: "one proxy", forwardedFor: ["198.51.100.1"], client: "198.51.100.1"),
        Row(
            testDescription: "what the client claims stands to the left",
            forwardedFor: ["1.1.1.1, 10.9.9.9, 198.51.100.1"], client: "198.51.100.1"),
        Row(
            testDescription: "two proxies, in two lines", forwardedFor: ["1.1.1.1, 198.51.100.1", " 192.168.1.5 "],
            client: "198.51.100.1", hops: ["192.168.1.5", "10.0.0.1"]),
        Row(
            testDescription: "beside the block", forwardedFor: ["198.51.100.1, 192.168.1.128"],
            client: "192.168.1.128"),
        Row(
            testDescription: "nothing but proxies", forwardedFor: ["10.1.1.1, 10.2.2.2"], client: "10.1.1.1",
            hops: ["10.2.2.2", "10.0.0.1"]),
        Row(
            testDescription: "a word that is no address", forwardedFor: ["198.51.100.1, unknown, 10.2.2.2"],
            client: "10.2.2.2"),
        Row(testDescription: "an empty word", forwardedFor: ["198.51.100.1,"], client: "10.0.0.1", hops: []),
        Row(testDescription: "ports", forwardedFor: ["198.51.100.1:4711"], client: "198.51.100.1"),
        Row(
            testDescription: "IPv6", forwardedFor: ["2001:db9::1, 2001:db8::7"], client: "2001:db9::1",
            hops: ["2001:db8::7", "10.0.0.1"]),
        Row(testDescription: "IPv6 with a port", forwardedFor: ["[2001:db9::1]:80"], client: "2001:db9::1"),
        Row(
            testDescription: "mapped IPv4", peer: "::ffff:10.0.0.1", forwardedFor: ["198.51.100.1"],
            client: "198.51.100.1", hops: ["10.0.0.1"]),
        Row(
            testDescription: "mapped IPv4 in X-Forwarded-For", forwardedFor: ["::ffff:198.51.100.1, ::FFFF:10.2.2.2"],
            client: "198.51.100.1", hops: ["10.2.2.2", "10.0.0.1"]),
        Row(
            testDescription: "mapped IPv4 with a port", forwardedFor: ["[::ffff:c633:6401]:80"], client: "198.51.100.1"),
        Row(
            testDescription: "mapped IPv4 in Forwarded", forwarded: [#"for="[::ffff:198.51.100.1]""#],
            client: "198.51.100.1"),
        Row(
            testDescription: "IPv6 in another spelling", forwardedFor: ["2001:DB9:0:0::1"], client: "2001:db9::1"),
        Row(
            testDescription: "Forwarded", forwarded: [#"for=1.1.1.1, For="[2001:db9::1]:80";proto=https;by="a,b""#],
            client: "2001:db9::1"),
        Row(testDescription: "Forwarded with a made-up name", forwarded: ["for=_hidden"], client: "10.0.0.1", hops: []),
        Row(testDescription: "Forwarded without for", forwarded: ["proto=https"], client: "10.0.0.1", hops: []),
        Row(
            testDescription: "a port that is none", forwardedFor: ["198.51.100.1:x"], client: "10.0.0.1", hops: []),
        Row(testDescription: "an empty port", forwardedFor: ["198.51.100.1:"], client: "10.0.0.1", hops: []),
        Row(testDescription: "a signed port", forwardedFor: ["198.51.100.1:+80"], client: "10.0.0.1", hops: []),
        Row(
            testDescription: "digits of another script", forwardedFor: ["[2001:db9::1]:\u{661}"], client: "10.0.0.1",
            hops: []),
        Row(
            testDescription: "U+0600 in front of a comma", forwardedFor: ["6.6.6.6:\u{600}, 198.51.100.1"],
            client: "198.51.100.1"),
        Row(
            testDescription: "a combining mark behind one", forwardedFor: ["6.6.6.6,\u{301}, 198.51.100.1"],
            client: "198.51.100.1"),
        Row(
            testDescription: "a combining mark behind an address", forwardedFor: ["6.6.6.6, 198.51.100.1\u{301}"],
            client: "10.0.0.1", hops: []),
        Row(
            testDescription: "a zero byte", forwardedFor: ["198.51.100.1\0, 10.1.1.1\0x"], client: "10.0.0.1", hops: []),
        Row(
            testDescription: "an open quotation mark in X-Forwarded-For", forwardedFor: ["\"6.6.6.6, 198.51.100.1"],
            client: "198.51.100.1"),
        Row(
            testDescription: "an open quotation mark", forwarded: [#"for="6.6.6.6, for=198.51.100.1"#],
            client: "198.51.100.1"),
        Row(
            testDescription: "an open quotation mark, and proxies that quote",
            forwarded: [#"for="6.6.6.6, for="[2001:db9::1]:80";by="a,b", for="10.2.2.2""#], client: "2001:db9::1",
            hops: ["10.2.2.2", "10.0.0.1"]),
        Row(
            testDescription: "an escaped quotation mark", forwarded: [#"for="6.6.6.6\", for="198.51.100.1""#],
            client: "198.51.100.1"),
        Row(
            testDescription: "an escape that ends nothing", forwarded: [#"for=6.6.6.6;x="\\", for=198.51.100.1"#],
            client: "198.51.100.1"),
        Row(
            testDescription: "for twice in an element", forwarded: ["for=6.6.6.6;for=198.51.100.1"], client: "10.0.0.1",
            hops: []),
        Row(
            testDescription: "text behind a quoted string", forwarded: [#"for="6.6.6.6"x"#], client: "10.0.0.1",
            hops: []),
        Row(testDescription: "an escape in an address", forwarded: [#"for="6.6.6\.6""#], client: "10.0.0.1", hops: []),
        Row(
            testDescription: "a combining mark behind a quotation mark",
            forwarded: ["for=\"\u{301}6.6.6.6, for=198.51.100.1"],
            client: "198.51.100.1"),
        Row(
            testDescription: "both fields, of one word", forwardedFor: ["6.6.6.6, 198.51.100.1, 10.2.2.2"],
            forwarded: ["for=198.51.100.1, for=10.2.2.2"], client: "198.51.100.1", hops: ["10.2.2.2", "10.0.0.1"]),
        Row(
            testDescription: "both fields, of two words", forwardedFor: ["6.6.6.6"], forwarded: ["for=198.51.100.2"],
            client: "10.0.0.1", hops: []),
        Row(
            testDescription: "an empty field beside another", forwardedFor: [""], forwarded: ["for=198.51.100.2"],
            client: "10.0.0.1", hops: []),
        Row(
            testDescription: "both fields, of a stranger", peer: "203.0.113.9", forwardedFor: ["198.51.100.1"],
            forwarded: ["for=198.51.100.1"], client: "203.0.113.9", hops: []),
    ])
    func theClientIsTheFirstFromTheRightThatIsNoProxy(_ row: Row) {
        let path = Self.trusted.path(peer: row.peer, forwardedFor: row.forwardedFor, forwarded: row.forwarded)
        #expect(path == .init(client: row.client, hops: row.hops))
    }

    @Test("Without trusted proxies nobody is believed")
    func none() {
        let path = TrustedProxies().path(peer: "127.0.0.1", forwardedFor: ["198.51.100.1"], forwarded: [])
        #expect(path == .init(client: "127.0.0.1", hops: []))
    }

    @Test("However long the list, its end alone is read")
    func bound() {
        let list = Array(repeating: "10.0.0.2", count: 10_000).joined(separator: ",")
        let path = Self.trusted.path(peer: "10.0.0.1", forwardedFor: [list], forwarded: [])
        #expect(path.client == "10.0.0.2" && path.hops.count == 32)
    }

    @Test(arguments: ["", "10", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "host", "[::1]"])
    func whatIsNoBlockIsNone(_ text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test(arguments: [
        ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "1.2.3.4", true),
    ])
    func aBlockOfEverythingIsOfItsKind(_ block: String, _ address: String, _ isIn: Bool) throws {
        let block = try #require(AddressBlock(block))
        #expect(block.contains(try #require(IPAddress(address))) == isIn)
    }
}
