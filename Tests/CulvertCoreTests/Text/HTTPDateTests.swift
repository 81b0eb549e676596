import Testing

@testable import CulvertCore

@Suite("Dates")
struct HTTPDateTests {
    @Test(
        "A date of a field has the form of RFC 9110 5.6.7",
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"), (.min, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] as [(Int64, String)])
    func text(seconds: Int64, text: String) {
        #expect(HTTPDate.text(unixSeconds: seconds) == text)
    }

    @Test("Days before 1970 and of every month are those of the calendar")
    func days() {
        var date = CivilDate(daysSince1970: -1)
        #expect((date.year, date.month, date.day) == (1969, 12, 31))
        date = CivilDate(daysSince1970: -719_528)
        #expect((date.year, date.month, date.day) == (0, 1, 1))
        let lengths: [Int64] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var day: Int64 = 365
        for (index, length) in lengths.enumerated() {
            date = CivilDate(daysSince1970: day + length - 1)
            #expect((date.year, date.month, date.day) == (1971, Int64(index) + 1, length))
            day += length
        }
    }
}
