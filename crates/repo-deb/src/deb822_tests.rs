use super::*;
use proptest::prelude::*;

fn check(input: &str, dialect: Dialect, expect: &str) {
    let got = match parse(input.as_bytes(), dialect) {
        Ok(paragraphs) => paragraphs
            .iter()
            .map(|paragraph| {
                let fields: Vec<_> = paragraph
                    .fields()
                    .iter()
                    .map(|field| format!("{}={:?}@{}", field.name, field.value, field.line))
                    .collect();
                fields.join(" ")
            })
            .collect::<Vec<_>>()
            .join(" / "),
        Err(error) => error.to_string(),
    };
    assert_eq!(got, expect, "{input:?}");
}

fn machine(input: &str, expect: &str) {
    check(input, Dialect::Machine, expect);
}

fn person(input: &str, expect: &str) {
    check(input, Dialect::Person, expect);
}

#[test]
fn well_formed() {
    machine("", "");
    machine("\n\n", "");
    machine("A: b\n", r#"A="b"@1"#);
    machine("A: b", r#"A="b"@1"#);
    machine("A:b\n\n\nC: d\n", r#"A="b"@1 / C="d"@4"#);
    machine("A: b \n c\n .\n\td\n", r#"A="b\n c\n .\n\td"@1"#);
    machine("Files:\n x 1 y\nZ: é\n", r#"Files="\n x 1 y"@1 Z="é"@3"#);
    machine("A: b: c\n", r#"A="b: c"@1"#);
    person(
        "# c\nA: b,\n# c\n d\n \nB: c\n",
        r#"A="b,\n d"@2 / B="c"@6"#,
    );
}

#[test]
fn mistakes_carry_their_line() {
    machine(
        "A: b\nC\n",
        "line 2: expected `Field: value`, found no colon",
    );
    machine(
        " x\n",
        "line 1: an indented line continues a field, but there is no field above it",
    );
    machine(
        "A: b\n\n x\n",
        "line 3: an indented line continues a field, but there is no field above it",
    );
    machine(
        "A: b\na: c\n",
        "line 2: field `a` is given twice in one paragraph",
    );
    machine(
        "A: b\n \nC: d\n",
        "line 2: this line has only blanks; write ` .` for an empty line inside a field",
    );
    machine(
        "A: b\r\n",
        "line 1: there is a control character (byte 13); remove it",
    );
    machine(
        "A: \0\n",
        "line 1: there is a control character (byte 0); remove it",
    );
    machine("A B: c\n", "line 1: `A B` is not a field name");
    machine(": c\n", "line 1: `` is not a field name");
    machine("-A: c\n", "line 1: `-A` is not a field name");
    machine(
        "# no comments here: x\n",
        "line 1: `# no comments here` is not a field name",
    );
    let many: String = (0..=MAX_FIELDS).map(|n| format!("F{n}: x\n")).collect();
    machine(&many, "line 1001: the paragraph has more than 1000 fields");
    let latin1 = parse(b"A: b\nC: \xe9\n", Dialect::Machine).unwrap_err();
    assert_eq!(
        latin1.to_string(),
        "line 2: this is not UTF-8; convert the file to UTF-8"
    );
}

#[test]
fn exactly_one() {
    let check = |input: &str, expect: &str| {
        let got =
            parse_one(input.as_bytes(), Dialect::Machine).map(|paragraph| paragraph.to_string());
        assert_eq!(got.unwrap_or_else(|error| error.to_string()), expect);
    };
    check("A: b\n\n", "A: b\n");
    check("\n", "line 1: expected one paragraph, found none");
    check(
        "A: b\n\nC: d\n",
        "line 3: expected one paragraph, found more",
    );
    check(
        "A: b\n\nC\n",
        "line 3: expected `Field: value`, found no colon",
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Dialect::Machine);
        let _ = parse(&bytes, Dialect::Person);
    }

    #[test]
    fn what_is_written_is_read_back(text in "([A-Za-z]{1,3}:[ \\ta-z:é]{0,6}\n([ \t][ a-z.]{0,5}\n){0,3}|\n|[ #a-z:]{0,5}\n){0,12}") {
        if let Ok(paragraphs) = parse(text.as_bytes(), Dialect::Machine) {
            let written: Vec<String> = paragraphs.iter().map(ToString::to_string).collect();
            let again = parse(written.join("\n").as_bytes(), Dialect::Machine);
            let again: Vec<String> = again.expect("own output").iter().map(ToString::to_string).collect();
            prop_assert_eq!(written, again);
        }
    }
}
