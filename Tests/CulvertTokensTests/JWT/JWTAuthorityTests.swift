import Crypto
import CulvertCore
import Foundation
import Logging
import NIOSSL
import Testing

@testable import CulvertTokens

@Suite("JWT: which keys a token is tried with")
struct JWTAuthorityTests {
    private struct Given {
        var id: String
        /// Tells the secret.
        var number: UInt8
        var until: Int64?
    }

    private static func secret(_ number: UInt8) -> [UInt8] { Array(repeating: number, count: 32) }

    private static func keys(_ numbers: ClosedRange<UInt8>, id: String? = nil) -> [Given] {
        numbers.map { Given(id: id ?? "k\($0)", number: $0) }
    }

    private static func authority(_ given: [Given]) async throws -> JWTAuthority {
        let keys = try given.map { key in
            ConfiguredJWTKey(
                place: .inline(try JWTKeyDescription(secret: secret(key.number), id: key.id, algorithm: .hs256)),
                until: key.until)
        }
        return try await JWTAuthority(
            config: JWTConfig(rules: JWTClaimRules(), keys: keys), stored: [], ended: [:],
            network: .unreachable, logger: Logger(label: "test"))
    }

    private static func isGood(_ number: UInt8, kid: String? = nil, for authority: JWTAuthority) async -> Bool {
        let member = kid.map { #","kid":"\#($0)""# } ?? ""
        let header = Base64URL.encode(Array(#"{"alg":"HS256"\#(member)}"#.utf8))
        let text = header + "." + Base64URL.encode(Array(#"{"sub":"s","exp":9999999999}"#.utf8))
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(text.utf8), using: SymmetricKey(data: Data(Self.secret(number))))
        let signed = text + "." + Base64URL.encode(Array(code))
        guard case .success = await authority.verify(signed, for: .none) else { return false }
        return true
    }

    @Test("Attack: a token without kid is tried with four keys at most; one with a kid has its key among many")
    func withoutKeyID() async throws {
        let four = try await Self.authority(Self.keys(1...4))
        for number in UInt8(1)...4 { #expect(await Self.isGood(number, for: four)) }
        #expect(await !Self.isGood(5, for: four))
        let many = try await Self.authority(Self.keys(1...100))
        for number: UInt8 in [1, 4, 5, 100] {
            #expect(await !Self.isGood(number, for: many))
            #expect(await Self.isGood(number, kid: "k\(number)", for: many))
        }
        #expect(await !Self.isGood(1, kid: "k2", for: many))
    }

    @Test("Attack: a kid that keys share is tried with four of them at most")
    func sharedKeyID() async throws {
        let four = try await Self.authority(Self.keys(1...4, id: "shared"))
        #expect(await Self.isGood(4, kid: "shared", for: four))
        let five = try await Self.authority(Self.keys(1...5, id: "shared") + Self.keys(6...6))
        for number in UInt8(1)...5 { #expect(await !Self.isGood(number, kid: "shared", for: five)) }
        #expect(await Self.isGood(6, kid: "k6", for: five))
    }

    @Test("Retired keys, and a key that stands in several places, do not keep tokens without kid out")
    func whatDoesNotCount() async throws {
        let retired = (UInt8(11)...20).map { Given(id: "r\($0)", number: $0, until: 1) }
        let again = (UInt8(1)...4).map { Given(id: "again\($0)", number: $0) }
        let authority = try await Self.authority(retired + Self.keys(1...4) + again)
        for number in UInt8(1)...4 { #expect(await Self.isGood(number, for: authority)) }
        #expect(await !Self.isGood(11, for: authority))
    }
}

extension KeySetNetwork {
    /// For configurations without sets of keys: no name is known.
    fileprivate static let unreachable = KeySetNetwork(
        lookUp: { (_, _, _) async throws(KeySetFault) in throw KeySetFault(description: "no network") },
        makeTLS: { TLSConfiguration.makeClientConfiguration() }, nameCheck: { _ in nil }, reason: { _ in nil })
}
