import ArgumentParser

/// Which page of a long list is meant. The admin API names the cursor of the next page in each answer.
struct PageOptions: ParsableArguments {
    @Option(help: "Most on the page.") var limit: Int?
    @Option(help: "Where the page before ended.") var cursor: String?

    var query: [(String, String?)] { [("limit", self.limit.map { "\($0)" }), ("cursor", self.cursor)] }
}
