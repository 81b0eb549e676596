/// A day of the proleptic Gregorian calendar, UTC.
package struct CivilDate: Equatable, Sendable {
    package var year: Int64
    /// 1 to 12.
    package var month: Int64
    /// 1 to 31.
    package var day: Int64

    /// - Parameter days: since 1970-01-01. Negative before.
    package init(daysSince1970 days: Int64) {
        // In eras of 400 years that begin on 1 March, so that the leap day is the last one of its year.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        self.month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        self.year = yearOfEra + era * 400 + (self.month <= 2 ? 1 : 0)
        self.day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    }
}

/// A time as fields of HTTP have it: `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110 5.6.7).
package enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    /// The last second of the year 9999, which has the last year of four digits.
    private static let last: Int64 = 253_402_300_799

    /// - Parameter seconds: since 1970, UTC. A time before 1970 or behind 9999 becomes the nearest within.
    package static func text(unixSeconds seconds: Int64) -> String {
        let seconds = min(max(seconds, 0), self.last)
        let days = seconds / 86_400
        let date = CivilDate(daysSince1970: days)
        let inDay = seconds % 86_400
        var text = self.days[Int(days % 7)] + ", "
        self.add(date.day, to: &text)
        text += " " + self.months[Int(date.month) - 1] + " "
        self.add(date.year / 100, to: &text)
        self.add(date.year % 100, to: &text)
        text += " "
        self.add(inDay / 3600, to: &text)
        text += ":"
        self.add(inDay / 60 % 60, to: &text)
        text += ":"
        self.add(inDay % 60, to: &text)
        return text + " GMT"
    }

    /// - Parameter number: of two digits at most.
    private static func add(_ number: Int64, to text: inout String) {
        if number < 10 { text += "0" }
        text += "\(number)"
    }
}
