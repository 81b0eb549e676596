import Testing

@testable import CulvertConfig

@Suite("Times as they are written")
struct UnixTimeTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2027-01-01T00:00:00Z", 1_798_761_600),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2027-01-01T01:30:00+01:30", 1_798_761_600), ("2026-12-31T19:00:00-05:00", 1_798_761_600),
            ("1969-12-31T23:59:59Z", -1),
        ] as [(String, Int64)])
    func aTimeIsRead(_ text: String, _ seconds: Int64) {
        #expect(UnixTime.parse(text) == seconds)
    }

    @Test(arguments: [
        "", "tomorrow", "2027-01-01", "2027-01-01T00:00:00", "2024-01-01T12:99:00Z", "2024-01-01T25:00:00Z",
        "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-32T00:00:00Z", "2024-01-01T00:00:61Z",
    ])
    func whatThereIsNotIsNotCarriedOver(_ text: String) {
        #expect(UnixTime.parse(text) == nil)
    }

    @Test(arguments: [0, 1_798_761_600, -62_000_000_000, 253_402_300_799] as [Int64])
    func whatIsWrittenIsReadBack(_ seconds: Int64) {
        #expect(UnixTime.parse(UnixTime.text(seconds)) == seconds)
    }
}
