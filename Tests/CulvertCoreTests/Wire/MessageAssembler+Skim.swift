import CulvertCore

extension MessageAssembler {
    /// With room for any number of frames.
    mutating func skim() -> Skimmed {
        var room = Int.max
        return self.skim(room: &room)
    }
}
