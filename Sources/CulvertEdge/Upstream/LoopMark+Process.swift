import CulvertCore

extension LoopMark {
    /// The mark of this process. A process that takes its listeners over has another mark.
    static let ofProcess: LoopMark = {
        // The system's generator is cryptographically secure.
        var generator = SystemRandomNumberGenerator()
        return LoopMark(random: (generator.next(), generator.next()))
    }()
}
