import CulvertCore
import Testing

@Suite("JWT: taken apart")
struct UnverifiedJWTTests {
    private static func token(_ header: String, _ payload: String = "{}", signature: String = "c2ln") -> String {
        "\(Base64URL.encode(Array(header.utf8))).\(Base64URL.encode(Array(payload.utf8))).\(signature)"
    }

    @Test("What is signed is the header and the payload as they stand")
    func parts() throws {
        let text = Self.token(#"{"alg":"ES256","kid":"k","typ":"JWT"}"#, #"{"sub":"s"}"#)
        let jwt = try UnverifiedJWT(text)
        #expect(jwt.algorithm == .es256 && jwt.keyID == "k")
        #expect(String(decoding: jwt.signedBytes, as: UTF8.self) == text.dropLast(5))
        #expect(jwt.signature == Array("sig".utf8))
        #expect(try jwt.claims() == ["sub": .string("s")])
    }

    @Test(arguments: [
        ("", JWTFault.malformed), ("..", .malformed), ("a.b", .malformed), ("a.b.c", .malformed),
        (token(#"{"alg":"HS256"}"#) + ".", .malformed), (token(#"{"alg":"HS256"}"#, signature: ""), .malformed),
        (token(#"{"alg":"HS256"}"#, signature: "c2ln="), .malformed),
        (token(#"{"alg":"HS256"}"#, signature: "c2+n"), .malformed), (token(#"["alg"]"#), .malformed),
        (token("{"), .malformed), (token("{}"), .malformed), (token(#"{"alg":1}"#), .malformed),
        (token(#"{"alg":"HS256","kid":7}"#), .malformed), (token(#"{"alg":"none"}"#), .algorithm),
        (token(#"{"alg":"NONE"}"#), .algorithm), (token(#"{"alg":"RS512"}"#), .algorithm),
        (token(#"{"alg":"HS256","alg":"HS256"}"#), .malformed),
        (token(#"{"alg":"HS256","kid":"a","kid":"b"}"#), .malformed),
        (token(#"{"alg":"HS256","x":1,"\u0078":1}"#), .malformed),
        (token(#"{"alg":"HS256","jwk":{"kty":"oct","kty":"RSA"}}"#), .malformed),
        (token(#"{"alg":"HS256","x":[{"a":1,"\u0061":1}]}"#), .malformed),
        (token(#"{"alg":"HS256","x":"\x"}"#), .malformed), (token(#"{"alg":"HS256"}{}"#), .malformed),
        (token(#"{"alg":"HS256","a":[[[[[[[[[1]]]]]]]]]}"#), .malformed),
        (token(#"{"alg":"HS256","a":"\#(String(repeating: "a", count: 1024))"}"#), .malformed),
        (token(#"{"alg":"HS256","crit":["exp"]}"#), .critical), (token(#"{"alg":"HS256","crit":[]}"#), .critical),
    ])
    func whatIsNoneIsRefused(_ text: String, _ fault: JWTFault) {
        #expect(throws: fault) { try UnverifiedJWT(text) }
    }

    @Test("A token without jti is called by what is signed, whichever signature it shows")
    func names() throws {
        let names = try ["c2ln", "b3RoZXI"].map {
            try UnverifiedJWT(Self.token(#"{"alg":"ES256"}"#, #"{"sub":"s"}"#, signature: $0)).name
        }
        #expect(names[0] == names[1] && names[0].hasPrefix("jwt_"))
        #expect(try UnverifiedJWT(Self.token(#"{"alg":"ES256"}"#, #"{"sub":"t"}"#)).name != names[0])
    }

    @Test("An ES256 signature has a twin, which its holder can make without the key; others have none")
    func twins() throws {
        let r = [UInt8](repeating: 7, count: 32)
        let small = r + [UInt8](repeating: 0, count: 31) + [1]
        func twin(_ signature: [UInt8], _ algorithm: String = "ES256") throws -> [UInt8]? {
            let text = Self.token(
                #"{"alg":"\#(algorithm)"}"#, #"{"sub":"s"}"#, signature: Base64URL.encode(signature))
            return try UnverifiedJWT(text).twinSignature
        }
        let other = try #require(try twin(small))
        #expect(other[..<32] == r[...] && other[32] == 0xFF && other[63] == 0x50)
        #expect(try twin(other) == small)
        #expect(try twin(Array(small.dropLast())) == nil)
        #expect(try twin(small, "EdDSA") == nil)
    }

    @Test(arguments: [
        "", "[]", "null", "{", #"{"exp":1,"sub":"a","sub":"b"}"#, #"{"exp":1e400}"#, "\u{0}",
        String(repeating: #"{"a":"#, count: 2000),
    ])
    func aPayloadThatIsNoObjectHasNoClaims(_ payload: String) throws {
        #expect(throws: JWTFault.malformed) {
            try UnverifiedJWT(Self.token(#"{"alg":"EdDSA"}"#, payload)).claims()
        }
    }
}
