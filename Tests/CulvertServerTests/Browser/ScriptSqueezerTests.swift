import Testing

@testable import CulvertServer

@Suite("Blanks are taken out of the browser client")
struct ScriptSqueezerTests {
    @Test(
        "Where they say nothing",
        arguments: [
            ("const a = 1;\nconst b = 2;", "const a=1;const b=2;"),
            ("if (a) {\nb();\n} else {\nc();\n}\nd();", "if(a){b();}else{c();}\nd();"),
            ("f(\na,\nb\n);", "f(a,b);"), ("const [a, b] = c;", "const[a,b]=c;"), ("x = a ? b : c;", "x=a?b:c;"),
            ("async (a) => await b", "async(a)=>await b"), ("return {\na\n};", "return{a};"),
            ("return \"a b\";", "return\"a b\";"), ("for (const a of b) c", "for(const a of b)c"),
            ("#a in b", "#a in b"), ("ä in ö", "ä in ö"), ("1 in a", "1 in a"),
            // Without the blank it would be another operator, or a comment.
            ("a + +b - -c", "a+ +b- -c"), ("a + -b", "a+-b"), ("a / /b/.c", "a/ /b/.c"), ("a + ++b", "a+ ++b"),
            // A line break may end a statement (ECMA-262 12.10).
            ("a = b\nc = d", "a=b\nc=d"), ("}\n(a)", "}\n(a)"), ("a\n++b", "a\n++b"), ("return\na", "return\na"),
        ])
    func code(source: String, squeezed: String) {
        #expect(ScriptSqueezer.squeeze(source) == squeezed)
    }

    @Test(
        "Nowhere else",
        arguments: [
            #""a b""#, #"'a  b'"#, #""a \" b""#, #"'a \\'"#, "`a  b`", "`a  ${b}  c`", "`a ${`b  ${c}`} d`",
            #"`a \` b`"#,
            #"`a \${ b`"#, "`a } b`", "`${{a:1}} b`", "`{ a`", "`$ {  a`", "`$${a}  `", "/a  b/", #"/a\/  b/"#,
            "/[/  ]/", #"/[\]/  ]  "/"#,
            "/'/.test(a)", "x=/\"  /", "f(/`  /)", "return/  /", "[/a  /,/'  /]", "!/ /", "a=>/  \"/",
        ])
    func literals(source: String) {
        #expect(ScriptSqueezer.squeeze(source) == source)
        // And what is behind it is code again.
        #expect(ScriptSqueezer.squeeze(source + ";\na = b") == source + ";a=b")
    }

    @Test(
        "What divides begins no regular expression",
        arguments: [
            ("a / b / c; \"d  e\"", "a/b/c;\"d  e\""), ("(a) / 2 / ' / '", "(a)/2/' / '"),
            ("a[0] / 2; `/  `", "a[0]/2;`/  `"),
            ("1 / 2; '/  '", "1/2;'/  '"), ("typeofs / 2; '/  '", "typeofs/2;'/  '"),
        ])
    func division(source: String, squeezed: String) {
        #expect(ScriptSqueezer.squeeze(source) == squeezed)
    }

    @Test(
        "Whatever it is given, it takes blanks alone",
        arguments: ["}", "`${", "'", "\"\\", "/", "/[", "}}}`}", " \n ", ""])
    func broken(source: String) {
        #expect(ScriptSqueezer.squeeze(source).filter { !$0.isWhitespace } == source.filter { !$0.isWhitespace })
    }

    @Test("Of the client itself nothing is lost but blanks")
    func client() {
        let lines = BrowserClient.strip(String(decoding: PackageResources.culvert_js, as: UTF8.self))
        let text = lines.joined(separator: "\n")
        let squeezed = ScriptSqueezer.squeeze(text)
        #expect(squeezed.utf8.count * 10 < text.utf8.count * 9)
        #expect(squeezed.filter { !$0.isWhitespace } == text.filter { !$0.isWhitespace })
        // Once is enough.
        #expect(ScriptSqueezer.squeeze(squeezed) == squeezed)
    }
}
