//! Rows as items, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ledger::{Key, Record, Row};
use ports::{Error, Result};

/// Larger documents are compressed. A write of up to 1 KiB costs one unit, so below that nothing is saved, and
/// people can read the table.
const COMPRESS_ABOVE: usize = 1 << 10;
/// Of zstd: the one that it calls fast.
const LEVEL: i32 = 3;
/// Of a row as JSON, in bytes: what unpacking gives at most, so that a damaged item does not eat the memory.
const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// Of an item, with the names of its attributes: DynamoDB takes no more.
const MAX_ITEM_BYTES: usize = 400 << 10;
/// Of a partition's name, with its slash.
const MAX_PARTITION_BYTES: usize = 2_048;
/// Of a sort key, with its slash.
const MAX_SORT_BYTES: usize = 1_024;
/// Names and numbers of an item: `pk`, `sk`, `version`, `format`, `row`, and two numbers of at most 21 bytes.
const FRAME_BYTES: usize = 64;

/// Of every item.
type Attributes = HashMap<String, AttributeValue>;

/// A key's part as DynamoDB has it.
pub(super) fn text(part: &str) -> AttributeValue {
    AttributeValue::S(format!("/{part}"))
}

pub(super) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// # Errors
/// A part is longer than DynamoDB takes.
pub(super) fn key(operation: &str, key: &Key) -> Result<Attributes> {
    for (name, part, most) in [
        ("partition", &key.partition, MAX_PARTITION_BYTES),
        ("sort key", &key.sort, MAX_SORT_BYTES),
    ] {
        let bytes = part.len() + 1;
        if bytes > most {
            let cause = format!("the {name} of row {key} has {bytes} bytes; DynamoDB takes {most}");
            return Err(Error::corrupt(operation, cause));
        }
    }
    Ok(HashMap::from([
        ("pk".to_owned(), text(&key.partition)),
        ("sk".to_owned(), text(&key.sort)),
    ]))
}

/// The sort key of an item.
pub(super) fn sort(operation: &str, item: &Attributes) -> Result<String> {
    let sort = item.get("sk").and_then(|value| value.as_s().ok());
    let sort = sort.and_then(|sort| sort.strip_prefix('/'));
    let sort = sort.ok_or_else(|| Error::corrupt(operation, "an item has no sort key of ours"));
    Ok(sort?.to_owned())
}

/// A row's document, and the bytes of the whole item.
///
/// # Errors
/// It is larger than DynamoDB takes.
pub(super) fn document(key: &Key, row: &Row) -> Result<(AttributeValue, usize)> {
    let operation = || format!("write ledger row {key}");
    let json = serde_json::to_string(row).map_err(|cause| Error::corrupt(operation(), cause))?;
    let plain = json.len();
    let (value, stored) = if plain > COMPRESS_ABOVE {
        let packed = zstd::bulk::compress(json.as_bytes(), LEVEL);
        let packed = packed.map_err(|cause| Error::corrupt(operation(), cause))?;
        let stored = packed.len();
        (AttributeValue::B(Blob::new(packed)), stored)
    } else {
        (AttributeValue::S(json), plain)
    };
    let size = FRAME_BYTES + key.partition.len() + key.sort.len() + 2 + stored;
    if size > MAX_ITEM_BYTES {
        let cause = format!(
            "it has {plain} bytes as JSON and {size} as an item; DynamoDB takes {MAX_ITEM_BYTES}. \
             Split the request that it belongs to"
        );
        return Err(Error::corrupt(operation(), cause));
    }
    Ok((value, size))
}

/// The row in an item.
pub(super) fn record(operation: &str, item: &Attributes) -> Result<Record> {
    let corrupt = |cause: String| Error::corrupt(operation, cause);
    let counted = |name: &str| {
        let value = item.get(name).and_then(|value| value.as_n().ok());
        let value = value.and_then(|value| value.parse::<u64>().ok());
        value.ok_or_else(|| corrupt(format!("the item's `{name}` is no number")))
    };
    let version = counted("version")?;
    let json = match item.get("row") {
        Some(AttributeValue::S(json)) => json.clone().into_bytes(),
        Some(AttributeValue::B(packed)) => {
            zstd::bulk::decompress(packed.as_ref(), MAX_DOCUMENT_BYTES)
                .map_err(|cause| corrupt(format!("unpack it: {cause}")))?
        }
        _ => return Err(corrupt("the item has no `row`".to_owned())),
    };
    let row = serde_json::from_slice::<Row>(&json).map_err(|cause| {
        let (format, own) = (counted("format"), ledger::format::CURRENT);
        match format {
            Ok(format) if format > u64::from(own) => corrupt(format!(
                "it was written in format {format}, and this program knows {own}: {cause}"
            )),
            _ => corrupt(cause.to_string()),
        }
    })?;
    Ok(Record { version, row })
}

#[cfg(test)]
mod tests {
    use ledger::RefRow;

    use super::*;

    fn row(text: String) -> Row {
        Row::Ref(RefRow {
            url: text,
            git_ref: "main".to_owned(),
            commit: "0".repeat(40),
            at: 1,
        })
    }

    fn key() -> Key {
        Key {
            partition: "p".to_owned(),
            sort: "a".to_owned(),
        }
    }

    /// Text that zstd makes nothing of.
    fn noise(bytes: usize) -> String {
        let mut state = 1_u64;
        let letter = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        };
        (0..bytes)
            .map(letter)
            .filter(|c| !"\"\\".contains(*c))
            .collect()
    }

    fn item(row: AttributeValue) -> Attributes {
        HashMap::from([
            ("version".to_owned(), number(3)),
            ("format".to_owned(), number(7)),
            ("row".to_owned(), row),
        ])
    }

    #[test]
    fn a_row_comes_back_packed_or_plain() {
        for (bytes, packed) in [(0, false), (900, false), (1_100, true), (300_000, true)] {
            let row = row("x".repeat(bytes));
            let (value, size) = document(&key(), &row).unwrap();
            assert_eq!(value.is_b(), packed, "{bytes} bytes");
            assert!(size < 1_500, "{bytes} bytes became {size}");
            let record = record("read", &item(value)).unwrap();
            assert_eq!((record.version, record.row), (3, row));
        }
    }

    #[test]
    fn what_is_too_large_is_told_with_its_size() {
        document(&key(), &row(noise(380_000))).unwrap();
        let error = document(&key(), &row(noise(900_000))).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("write ledger row p a: it has"), "{text}");
        assert!(text.contains("DynamoDB takes 409600"), "{text}");
        let mut long = super::tests::key();
        long.sort = "s".repeat(1_024);
        let error = super::key("read", &long).unwrap_err().to_string();
        assert!(
            error.contains("has 1025 bytes; DynamoDB takes 1024"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let check = |value: AttributeValue, expect: &str| {
            let error = record("read row", &item(value)).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(AttributeValue::S("{".to_owned()), "written in format 7");
        check(AttributeValue::B(Blob::new(*b"xyz")), "unpack it");
        check(AttributeValue::Bool(true), "no `row`");
    }
}
