import CulvertConfig
import NIOCore
import Testing

@testable import CulvertEdge

@Suite("The browser client: what is served")
struct BrowserClientTests {
    private static func text(_ build: BrowserClient.Build) -> String { String(buffer: build.body) }

    static let module = "class S{f(){return 1}}export{S as CulvertSocket,S as default};\n"

    @Test("The classic script is the module without its export, and leaves one global")
    func classic() throws {
        let classic = "(()=>{\"use strict\";class S{f(){return 1}}globalThis.CulvertSocket=S;})();\n"
        for module in [Self.module, String(Self.module.dropLast())] {
            let client = try BrowserClient(module: module, types: "")
            #expect(Self.text(client.module) == module)
            #expect(Self.text(client.classic) == classic)
        }
        let other = try BrowserClient(module: "f();export{$_1 as CulvertSocket,$_1 as default};", types: "")
        #expect(Self.text(other.classic) == "(()=>{\"use strict\";f();globalThis.CulvertSocket=$_1;})();\n")
    }

    @Test(
        "What has another export, or none, is refused",
        arguments: [
            "", "class S{}", "export{S as CulvertSocket};", "export{S as CulvertSocket,T as default};",
            "export{S as CulvertSocket,S as default};f();", "export{S as CulvertSocket,S as default};export{};",
        ])
    func malformed(module: String) {
        #expect(throws: BrowserClient.Malformed.self) { try BrowserClient(module: module, types: "") }
    }

    @Test("Digest and integrity are of the bytes that are served")
    func digests() {
        // sha256sum, and openssl dgst -sha384 -binary | base64.
        let build = BrowserClient.Build("class A{}\nexport{A};\n")
        #expect(build.digest == "aeb560165d5084f2532c0d2e079a50bc9eb6cd17c3b4e5702525759be7d6ee79")
        #expect(build.mark == "aeb560165d5084f2")
        #expect(
            build.integrity == "sha384-GGrk3JmEVqYrtFPFTBbaBYxih1zM4xBvtF+LsCVPv1zIuukBwXeb6ZqM1MaMqiGc")
    }

    @Test("Compressed it is a gzip of just these bytes, and smaller")
    func gzip() throws {
        let build = BrowserClient.Build(String(repeating: "answer=42;\n", count: 1000))
        var gzip = try #require(build.gzip)
        #expect(gzip.readableBytes < 500)
        // RFC 1952 2.3: magic and method in front, the length behind.
        #expect(gzip.readBytes(length: 3) == [0x1F, 0x8B, 8])
        gzip.moveReaderIndex(to: gzip.writerIndex - 4)
        #expect(gzip.readInteger(endianness: .little, as: UInt32.self) == UInt32(build.body.readableBytes))
    }

    @Test("Types keep their comments")
    func types() throws {
        let types = "/** What it is. */\n  export {};\n"
        #expect(Self.text(try BrowserClient(module: Self.module, types: types).types) == types)
    }

    @Test("That of this binary is whole, has one export, and is small")
    func current() throws {
        let client = try BrowserClient.current
        #expect(Self.text(client.module).hasPrefix("/* Culvert"))
        #expect(Self.text(client.module).matches(of: #/\bexport\b/#).count == 1)
        #expect(!Self.text(client.classic).contains(#/\bexport\b/#))
        for build in [client.module, client.classic] {
            #expect(build.gzip.map { $0.readableBytes < 6 * 1024 } == true)
        }
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
        let client = try BrowserClient(module: BrowserClientTests.module, types: "")
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
