import Testing

@testable import CulvertCore

@Suite("Cookies of tokens")
struct TokenCookiesTests {
    private static let cookies = TokenCookies([
        CarrierNames(queryParameter: nil, cookie: "culvert_token"), CarrierNames(queryParameter: nil, cookie: nil),
        CarrierNames(queryParameter: nil, cookie: "hub"),
    ])

    @Test(
        "What a browser would send as such a cookie is found",
        arguments: [
            "culvert_token=x", "culvert_token=", "culvert_token", "culvert_token;Path=/",
            " \tculvert_token\t = x; Secure",
            "=culvert_token=x", "= culvert_token=x", "==culvert_token", "hub=1; Max-Age=0",
        ])
    func own(value: String) { #expect(Self.cookies.areSet(by: value)) }

    @Test(
        "Other cookies are not",
        arguments: [
            "", "=", ";", "a=b", "culvert_tokens=x", "Culvert_Token=x", "a=culvert_token=x", "a; culvert_token=x",
            "x culvert_token=x", "hub\u{301}=1",
        ])
    func others(value: String) { #expect(!Self.cookies.areSet(by: value)) }

    @Test("Without a cookie that carries tokens none is")
    func none() { #expect(!TokenCookies([CarrierNames(queryParameter: nil, cookie: nil)]).areSet(by: "=")) }
}
