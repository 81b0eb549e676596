import NIOCore
import Testing

@testable import CulvertServer

@Suite("The browser client: what is made of the source")
struct BrowserClientTests {
    private static func text(_ build: BrowserClient.Build) -> String { String(buffer: build.body) }

    @Test(
        "Indentation and lines of comments go, and nothing else",
        arguments: [
            ("a\n  b\n\tc\n", ["a", "b", "c"]),
            ("a  \n\n   \n\nb", ["a", "b"]),
            ("// a\n  // b\nc\n", ["c"]),
            ("x = 1; // kept\n", ["x = 1; // kept"]),
            ("const u = 'http://a';\n", ["const u = 'http://a';"]),
            ("a\r\n\tb\r\n", ["a", "b"]),
            ("a  b", ["a  b"]),
            ("", []),
        ])
    func strip(source: String, lines: [String]) {
        #expect(BrowserClient.strip(source).map(String.init) == lines)
    }

    @Test("The classic script is the module without its export, and leaves one global")
    func classic() {
        let source = """
            // What it is.
            class CulvertSocket {
                f() { return 1; }
            }

            export { CulvertSocket, CulvertSocket as default };
            """
        let client = BrowserClient(source: source, types: "")
        let body = "class CulvertSocket{f(){return 1;}}\n"
        #expect(Self.text(client.module) == body + "export{CulvertSocket,CulvertSocket as default};\n")
        #expect(
            Self.text(client.classic)
                == "(()=>{\"use strict\";\(body)globalThis.CulvertSocket=CulvertSocket;})();\n")
    }

    @Test("Digest and integrity are of the bytes that are served")
    func digests() {
        // sha256sum, and openssl dgst -sha384 -binary | base64.
        let build = BrowserClient(source: "class A {}\n  export { A };", types: "").module
        #expect(build.digest == "aeb560165d5084f2532c0d2e079a50bc9eb6cd17c3b4e5702525759be7d6ee79")
        #expect(build.mark == "aeb560165d5084f2")
        #expect(
            build.integrity == "sha384-GGrk3JmEVqYrtFPFTBbaBYxih1zM4xBvtF+LsCVPv1zIuukBwXeb6ZqM1MaMqiGc")
    }

    @Test("Compressed it is a gzip of just these bytes, and smaller")
    func gzip() throws {
        let build = BrowserClient(source: String(repeating: "answer = 42;\n", count: 1000), types: "").module
        var gzip = try #require(build.gzip)
        #expect(gzip.readableBytes < 500)
        // RFC 1952 2.3: magic and method in front, the length behind.
        #expect(gzip.readBytes(length: 3) == [0x1F, 0x8B, 8])
        gzip.moveReaderIndex(to: gzip.writerIndex - 4)
        #expect(gzip.readInteger(endianness: .little, as: UInt32.self) == UInt32(build.body.readableBytes))
    }

    @Test("Types keep their comments")
    func types() {
        let types = "/** What it is. */\n  export {};\n"
        #expect(Self.text(BrowserClient(source: "", types: types).types) == types)
    }

    @Test("The source is one that lines can be taken from")
    func source() {
        let lines = String(decoding: PackageResources.culvert_js, as: UTF8.self).split(separator: "\n")
        #expect(lines.last == "export { CulvertSocket, CulvertSocket as default };")
        for line in lines {
            let code = line.drop { $0 == " " }
            #expect(!code.hasPrefix("/*") && !code.hasPrefix("*"), "\(line)")
            // But for those in a class of characters, of a regular expression.
            let marks = code.replacing(#/\[[^\]]*\]/#, with: "").count { $0 == "`" }
            #expect(code.hasPrefix("//") || marks.isMultiple(of: 2), "\(line)")
            #expect(line == lines.last || !code.hasPrefix("export "), "\(line)")
        }
        #expect(BrowserClient.current.module.gzip.map { $0.readableBytes < 6 * 1024 } == true)
        #expect(BrowserClient.current.classic.gzip.map { $0.readableBytes < 6 * 1024 } == true)
    }
}

@Suite("The browser client: where it is")
struct ClientPathsTests {
    @Test(
        "A script's path is one that can stand in a page",
        arguments: [
            ("/culvert.js", true), ("/static/js/culvert.min.js", true), ("/~a/b-c_d.js", true), ("/a.js/b.js", true),
            ("/a/..js", true), ("/_pollux/a.js", true),
            ("culvert.js", false), ("/culvert.mjs", false), ("/.js", false), ("/a/.js", false), ("/", false),
            ("/a//b.js", false), ("/a/../b.js", false), ("/./b.js", false), ("/_poll/b.js", false),
            ("/a/_poll/b.js", false), ("/a%2fb.js", false), ("/a?b.js", false), ("/a\".js", false), ("/a b.js", false),
            ("/ä.js", false), ("/a.js#.js", false), ("https://a/b.js", false), ("", false),
        ])
    func usable(path: String, isUsable: Bool) {
        #expect((ClientPaths(path) != nil) == isUsable)
        #expect(ClientPaths(path)?.module == (isUsable ? path : nil))
    }

    @Test("The others are made of it")
    func others() throws {
        let paths = try #require(ClientPaths("/a/b.js"))
        let client = BrowserClient(source: "a", types: "")
        #expect(paths.classic == "/a/b.classic.js")
        #expect(paths.types == "/a/b.d.ts")
        #expect(paths.module(client.module) == "/a/b.\(client.module.digest.prefix(16)).js")
        #expect(paths.classic(client.classic) == "/a/b.\(client.classic.digest.prefix(16)).classic.js")
    }

    @Test(
        "A build is told by its digest, whichever it is",
        arguments: [
            ("/c.0123456789abcdef.js", true), ("/c.0123456789abcdef.classic.js", true),
            ("/c.0123456789abcde.js", false), ("/c.0123456789abcdefa.js", false), ("/c.0123456789abcdeg.js", false),
            ("/c.0123456789abcdef.d.ts", false), ("/c.js", false), ("/c.classic.js", false), ("/c", false),
            ("/cc.0123456789abcdef.js", false), ("/c.0123456789abcdef.js/a", false),
        ])
    func builds(path: String, isBuild: Bool) throws {
        #expect(try #require(ClientPaths("/c.js")).isBuild(path) == isBuild)
    }
}
