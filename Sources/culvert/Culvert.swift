import ArgumentParser
@main struct Culvert: ParsableCommand { func run() {} }
