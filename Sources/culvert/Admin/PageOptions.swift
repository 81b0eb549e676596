import ArgumentParser

/// Which page of a long list is meant. The admin API names the cursor of the next page in each answer.
struct PageOptions: ParsableArguments {
    @Option(help: "The largest number of entries on the page.") var limit: Int?
    @Option(help: "The cursor that the previous page ended with.") var cursor: String?

    var query: [(String, String?)] { [("limit", self.limit.map { "\($0)" }), ("cursor", self.cursor)] }
}
