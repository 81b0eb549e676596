import CulvertCore
import Foundation
import Testing

@testable import CulvertTokens

/// Keys of RFC 7517 appendix A.1 and RFC 8037 appendix A.2.
private enum Keys {
    static let p256 = #"""
        {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}
        """#
    static let rsa = #"""
        {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPeb
        WKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb
        9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-c
        sFCur-kEgU8awapJzKnqDKgw","e":"AQAB","kid":"r"}
        """#.replacing(" ", with: "").replacing("\n", with: "")
    static let ed25519 = #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"e"}"#
    static let secret = #"{"kty":"oct","k":"\#(Base64URL.encode(Array(repeating: 7, count: 32)))","kid":"s"}"#

    static func members(_ text: String) throws -> [String: JSONValue] {
        try JSONValue.members(reading: text.utf8, limits: JWTKeyDescription.limits)
    }
}

@Suite("JWT: keys and sets of them")
struct KeySetTests {
    @Test("The thumbprint is that of RFC 7638 and RFC 8037")
    func thumbprints() throws {
        // RFC 7638 3.1, and RFC 8037 A.3.
        let rsa = try KeyMaterial(jwk: Keys.members(Keys.rsa))
        #expect(rsa.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        let ed25519 = try KeyMaterial(jwk: Keys.members(Keys.ed25519))
        #expect(ed25519.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    }

    @Test("A key is for the algorithm that it says, that is asked for, or the first of its type")
    func algorithms() throws {
        #expect(try JWTKeyDescription(jwk: Keys.members(Keys.rsa)).algorithm == .rs256)
        #expect(try JWTKeyDescription(jwk: Keys.members(Keys.rsa), algorithm: .ps256).algorithm == .ps256)
        var rsa = try Keys.members(Keys.rsa)
        rsa["alg"] = .string("PS256")
        #expect(try JWTKeyDescription(jwk: rsa).algorithm == .ps256)
        #expect(throws: JWTKeyDescription.Fault.algorithm) { try JWTKeyDescription(jwk: rsa, algorithm: .rs256) }
        rsa["alg"] = .string("RS512")
        #expect(throws: JWTKeyDescription.Fault.key(.unsupported)) { try JWTKeyDescription(jwk: rsa) }
        #expect(throws: JWTKeyDescription.Fault.algorithm) {
            try JWTKeyDescription(jwk: Keys.members(Keys.p256), algorithm: .hs256)
        }
    }

    @Test(arguments: [
        ("{}", KeyMaterial.Fault.notAKey), (#"{"kty":"RSA"}"#, .notAKey),
        (#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, .tooShort), (#"{"kty":"oct","k":"AQAB"}"#, .tooShort),
        (#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#, .unsupported), (#"{"kty":"XYZ"}"#, .unsupported),
        (#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, .notAKey),
        (#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, .notAKey),
        (#"{"kty":"OKP","crv":"X25519","x":"AA"}"#, .unsupported),
        (Keys.ed25519.replacing("{", with: #"{"d":"AA","#), .isPrivate),
        (Keys.ed25519.replacing("{", with: #"{"use":"enc","#), .notForSignatures),
        (Keys.ed25519.replacing("{", with: #"{"key_ops":["sign"],"#), .notForSignatures),
    ])
    func whatIsOfNoUseSaysWhy(_ text: String, _ fault: KeyMaterial.Fault) {
        #expect(throws: fault) { try KeyMaterial(jwk: Keys.members(text)) }
    }

    @Test("Attack: a key whose signatures anybody can make is none")
    func weakKeys() throws {
        var tried = 0
        for y in [
            String(repeating: "00", count: 32), "01" + String(repeating: "00", count: 31),
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ec" + String(repeating: "ff", count: 30) + "7f", "ed" + String(repeating: "ff", count: 30) + "7f",
            "ee" + String(repeating: "ff", count: 30) + "7f",
        ] {
            var bytes = stride(from: 0, to: 64, by: 2).map { index in
                UInt8(y.dropFirst(index).prefix(2), radix: 16) ?? 0
            }
            for sign in [UInt8(0), 0x80] {
                bytes[31] = bytes[31] & 0x7F | sign
                let jwk: [String: JSONValue] = [
                    "kty": .string("OKP"), "crv": .string("Ed25519"), "x": .string(Base64URL.encode(bytes)),
                ]
                print("tried the Ed25519 key \(bytes)")
                #expect(throws: KeyMaterial.Fault.weak) { try KeyMaterial(jwk: jwk) }
                tried += 1
            }
        }
        #expect(tried == 14)
        var rsa = try Keys.members(Keys.rsa)
        for exponent in [[1], [0, 0, 1], [2], [1, 0, 0]] as [[UInt8]] {
            rsa["e"] = .string(Base64URL.encode(exponent))
            print("tried the RSA exponent \(exponent)")
            #expect(throws: KeyMaterial.Fault.weak) { try KeyMaterial(jwk: rsa) }
        }
        rsa["e"] = .string(Base64URL.encode([1, 0, 0, 0, 1]))
        #expect(throws: KeyMaterial.Fault.unsupported) { try KeyMaterial(jwk: rsa) }
        rsa["e"] = .string("AQAB")
        rsa["n"] = .string(Base64URL.encode(Array(repeating: 0xFF, count: 1025)))
        #expect(throws: KeyMaterial.Fault.unsupported) { try KeyMaterial(jwk: rsa) }
        rsa["n"] = .string(Base64URL.encode(Array(repeating: 0xFE, count: 256)))
        #expect(throws: KeyMaterial.Fault.weak) { try KeyMaterial(jwk: rsa) }
    }

    @Test("A key's secret is not shown by whatever prints what it is part of")
    func notShown() throws {
        let key = try JWTKeyDescription(secret: Array(repeating: 0x53, count: 40), id: "k", algorithm: .hs256)
        let configured = ConfiguredJWTKey(place: .inline(key))
        var text = "\(configured) \(String(reflecting: configured))"
        dump(configured, to: &text)
        #expect(!text.contains("83, 83") && !text.contains("SSSS"))
    }

    @Test("Attack: a set of a mebibyte that is made to cost time is refused in no more than that")
    func costlySets() {
        let marks = String(repeating: "\u{301}\u{316}", count: 100_000)
        for (name, text) in [
            ("deep", #"{"keys":"# + String(repeating: "[", count: 1_000_000)),
            ("wide", #"{"keys":["# + Array(repeating: "{}", count: 330_000).joined(separator: ",") + "]}"),
            ("kinds of marks", "{\"keys\":[{\"kty\":\"\(marks)\"},{\"kty\":\"oct\",\"use\":\"\(marks)\"}]}"),
            ("ids of marks", "{\"keys\":[{\"kid\":\"\(marks)\",\"alg\":\"\(marks)\"}]}"),
            ("long names", "{\"" + String(repeating: "\u{301}\u{316}", count: 200_000) + "\":1}"),
        ] {
            let data = Data(text.utf8)
            let spent = ContinuousClock().measure {
                #expect(throws: KeySetFault.self) { try KeySet.parse(data, takesSecrets: true) }
            }
            print("tried a \(name) set of \(data.count) bytes: \(spent)")
            #expect(spent < .seconds(2))
        }
    }

    @Test("A public JWK reads back as the same key")
    func roundTrip() throws {
        for text in [Keys.rsa, Keys.p256, Keys.ed25519] {
            let key = try KeyMaterial(jwk: Keys.members(text))
            #expect(try KeyMaterial(jwk: Keys.members(try #require(key.publicJWK))) == key)
        }
        #expect(try KeyMaterial(jwk: Keys.members(Keys.secret)).publicJWK == nil)
    }

    @Test("Of a set the usable keys are taken; secrets only where they are expected")
    func set() throws {
        let unusable = [#"{"kty":"XYZ"}"#, "1", Keys.p256.replacing("sig", with: "enc")]
        let text = #"{"keys":[\#((unusable + [Keys.secret, Keys.rsa, Keys.ed25519]).joined(separator: ","))],"x":1}"#
        #expect(try KeySet.parse(Data(text.utf8), takesSecrets: false).map(\.id) == ["r", "e"])
        #expect(try KeySet.parse(Data(text.utf8), takesSecrets: true).map(\.id) == ["s", "r", "e"])
    }

    @Test(arguments: [
        ("<html></html>", KeySetFault.notJSON), ("", .notJSON), ("\u{FEFF}{\"keys\":[\(Keys.ed25519)]}", .notJSON),
        ("[]", .noSet), (#"{"keys":{}}"#, .noSet),
        (#"{"keys":[]}"#, .empty), (#"{"keys":[{"kty":"XYZ"}]}"#, .noUsableKey),
    ])
    func whatIsNoSetIsNotTaken(_ text: String, _ fault: KeySetFault) {
        #expect(throws: fault) { try KeySet.parse(Data(text.utf8), takesSecrets: true) }
    }

    @Test(
        "A member that stands twice refuses all of a set, wherever it stands",
        arguments: [
            #"{"keys":[\#(Keys.ed25519)],"keys":[]}"#, #"{"keys":[\#(Keys.ed25519)],"\u006beys":[]}"#,
            #"{"keys":[\#(Keys.ed25519),\#(Keys.secret.replacing("{", with: #"{"kid":"first","#))]}"#,
            #"{"keys":[\#(Keys.ed25519)],"x":[{"a":1,"a":1}]}"#,
        ])
    func duplicates(_ text: String) {
        #expect(throws: KeySetFault.duplicate) { try KeySet.parse(Data(text.utf8), takesSecrets: true) }
    }

    @Test("A JWK that cannot be read as one does not become the secret of HS256")
    func unreadableJWKs() {
        let twice = Keys.rsa.replacing("{", with: #"{"kid":"first","#)
        let escaped = Keys.rsa.replacing("{", with: #"{"kid":"first","\u006bid":"second","#)
        let utf16 = Array(Keys.ed25519.utf16)
        let files: [[UInt8]] = [
            Array(twice.utf8), Array(escaped.utf8), Array(("\u{FEFF}" + Keys.rsa).utf8),
            [0xFF, 0xFE] + utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] },
            [0xFE, 0xFF] + utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] },
        ]
        for file in files {
            for algorithm in [SignatureAlgorithm.hs256, .rs256, nil] {
                #expect(throws: JWTKeyDescription.Fault.key(.notJSON)) {
                    try JWTKeyDescription(file: file, id: "k", algorithm: algorithm)
                }
            }
        }
    }

    @Test("A file may have a secret with its line break, a JWK or PEM; PEM is no secret")
    func files() throws {
        let secret = Array(repeating: UInt8(ascii: "s"), count: 32)
        let key = try JWTKeyDescription(file: secret + [0x0A], id: "k", algorithm: .hs256)
        #expect(key.material == .secret(secret))
        #expect(try JWTKeyDescription(file: Array(Keys.rsa.utf8), id: nil, algorithm: .ps256).id == "r")
        let lines = [
            "BEGIN PUBLIC KEY", "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "END PUBLIC KEY",
        ]
        let pem = Array("-----\(lines[0])-----\n\(lines[1])\n-----\(lines[2])-----\n".utf8)
        #expect(
            try JWTKeyDescription(file: pem, id: "k", algorithm: .edDSA).material
                == KeyMaterial(jwk: Keys.members(Keys.ed25519)))
        #expect(throws: JWTKeyDescription.Fault.algorithm) {
            try JWTKeyDescription(file: pem, id: "k", algorithm: .hs256)
        }
        #expect(throws: JWTKeyDescription.Fault.key(.isPrivate)) {
            try JWTKeyDescription(file: Array("-----BEGIN EC PRIVATE KEY-----".utf8), id: "k", algorithm: .es256)
        }
    }
}
