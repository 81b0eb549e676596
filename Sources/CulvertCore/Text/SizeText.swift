/// Sizes as configurations and messages write them.
package enum SizeText {
    /// The largest binary unit that leaves a whole number: `16KiB`, `1MiB`, `1000B`.
    package static func text(_ bytes: Int) -> String {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes % factor == 0 && bytes > 0 {
            return "\(bytes / factor)\(unit)"
        }
        return "\(bytes)B"
    }
}
