// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "culvert",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "culvert", targets: ["culvert"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    ],
    targets: [
        // Sans-IO: bytes, events and time in, actions out. NIOCore is here for ByteBuffer and NIODeadline only.
        .target(
            name: "CulvertCore",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
            ]
        ),
        // What any process of ours has: threads for blocking work, descriptors, the clock, the log.
        .target(
            name: "CulvertSystem",
            dependencies: [
                "CulvertCore",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // Tokens and where they are kept, keys of JSON Web Tokens and their verification.
        .target(
            name: "CulvertTokens",
            dependencies: [
                "CulvertCore",
                "CulvertSystem",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]
        ),
        // proxy.yaml as values: the keys, their reader, and what is in effect.
        .target(
            name: "CulvertConfig",
            dependencies: [
                "CulvertCore",
                "CulvertSystem",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
            ]
        ),
        // The NIO shell: sockets, TLS, HTTP, sessions and connections to upstreams.
        .target(
            name: "CulvertEdge",
            dependencies: [
                "CulvertCore",
                "CulvertSystem",
                "CulvertConfig",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTPCompression", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            // What culvert.min.js is made of, and by what.
            exclude: ["Browser/culvert.js", "Browser/build"],
            resources: [.embedInCode("Browser/culvert.min.js"), .embedInCode("Browser/culvert.d.ts")]
        ),
        // What operators see and do: the checks of a configuration, reloads, the admin API.
        .target(
            name: "CulvertAdmin",
            dependencies: [
                "CulvertCore",
                "CulvertSystem",
                "CulvertConfig",
                "CulvertTokens",
                "CulvertEdge",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ],
            // A link into docs/, where the document stands for people.
            resources: [.embedInCode("HTTP/openapi.json")]
        ),
        // What only `culvert demo` needs: an echo/chat backend, a page, a development certificate.
        .target(
            name: "CulvertDemo",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            resources: [.embedInCode("Page")]
        ),
        .executableTarget(
            name: "culvert",
            dependencies: [
                "CulvertCore",
                "CulvertSystem",
                "CulvertConfig",
                "CulvertTokens",
                "CulvertEdge",
                "CulvertAdmin",
                "CulvertDemo",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOFoundationCompat", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]
        ),
        // Benchmarks: docs/benchmarks.md says how they are run.
        .target(name: "AllocationCounter", path: "Tests/Benchmarks/AllocationCounter"),
        .executableTarget(
            name: "gate-benchmark",
            dependencies: [
                "AllocationCounter", "CulvertCore", "CulvertTokens",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            path: "Tests/Benchmarks/Gate"
        ),
        .testTarget(
            name: "CulvertCoreTests",
            dependencies: ["CulvertCore", .product(name: "NIOCore", package: "swift-nio")]
        ),
        .testTarget(
            name: "CulvertSystemTests",
            dependencies: [
                "CulvertCore", "CulvertSystem",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "CulvertTokensTests",
            dependencies: [
                "CulvertCore", "CulvertSystem", "CulvertTokens",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        // A configuration that is right, for the tests of several modules.
        .target(
            name: "ConfigFixtures", dependencies: ["CulvertConfig", "CulvertTokens"], path: "Tests/ConfigFixtures"
        ),
        .testTarget(
            name: "CulvertConfigTests",
            dependencies: [
                "CulvertCore", "CulvertSystem", "CulvertConfig", "CulvertTokens", "ConfigFixtures",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "CulvertEdgeTests",
            dependencies: [
                "CulvertCore", "CulvertSystem", "CulvertConfig", "CulvertEdge",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "CulvertAdminTests",
            dependencies: [
                "CulvertCore", "CulvertSystem", "CulvertConfig", "CulvertTokens", "CulvertEdge", "CulvertAdmin",
                "ConfigFixtures",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "CulvertDemoTests",
            dependencies: [
                "CulvertDemo",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "X509", package: "swift-certificates"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.name != "AllocationCounter" {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("MemberImportVisibility"),
        ]
}
