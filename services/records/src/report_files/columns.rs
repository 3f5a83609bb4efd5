//! The columns of a file of combo reports, and the header that names them.

use super::parser::{Fault, Record};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The report's identifier.
    Identifier,
    /// The identifier of its template.
    Template,
    /// The uid of its template.
    TemplateUid,
    /// The type of the combo.
    Type,
    /// The product codes.
    ProductCodes,
    /// How many products are shown.
    ProductCount,
    /// Who it is for.
    Audience,
    /// When it began to run.
    RanFrom,
    /// When it ended.
    RanTo,
    /// The names of the products that were shown.
    Products,
    /// Their uids.
    ProductUids,
    /// What it cost.
    Spend,
    /// How often it was shown.
    Impressions,
    /// How often it was clicked.
    Clicks,
    /// How many purchases followed.
    Purchases,
    /// What people noted.
    Notes,
}

/// The number of columns.
pub const COLUMNS: usize = 16;

impl Column {
    /// All columns, in the order of an export.
    pub const ALL: [Self; COLUMNS] = [
        Self::Identifier,
        Self::Template,
        Self::TemplateUid,
        Self::Type,
        Self::ProductCodes,
        Self::ProductCount,
        Self::Audience,
        Self::RanFrom,
        Self::RanTo,
        Self::Products,
        Self::ProductUids,
        Self::Spend,
        Self::Impressions,
        Self::Clicks,
        Self::Purchases,
        Self::Notes,
    ];

    /// Its name in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Template => "template",
            Self::TemplateUid => "template_uid",
            Self::Type => "type",
            Self::ProductCodes => "product_codes",
            Self::ProductCount => "product_count",
            Self::Audience => "audience",
            Self::RanFrom => "ran_from",
            Self::RanTo => "ran_to",
            Self::Products => "products",
            Self::ProductUids => "product_uids",
            Self::Spend => "spend",
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::Purchases => "purchases",
            Self::Notes => "notes",
        }
    }

    /// The field of `ComboReport` that it is about; `None` for the identifier.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Identifier => None,
            Self::Template => Some("template_uid"),
            Self::Products => Some("product_uids"),
            column => Some(column.name()),
        }
    }
}

/// Where the columns of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    places: [Option<usize>; COLUMNS],
    /// The number of cells up to the last column.
    pub width: usize,
}

impl Header {
    /// Reads the first record of a file. Names are compared without letter case and blanks around them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(record: &Record) -> Result<Self, String> {
        let known = || Column::ALL.map(Column::name).join(", ");
        match record.fault {
            Some(Fault::TooLong) => return Err("the header is too long".to_owned()),
            Some(Fault::Misquoted(line)) => {
                return Err(format!("a cell of the header continues after its closing quote; it opens on line {line}"));
            }
            Some(Fault::Unclosed(line)) => {
                return Err(format!("the header has a quote that is not closed; it opens on line {line}"));
            }
            None if record.surplus => return Err(format!("the header has too many columns; known are {}", known())),
            None => {}
        }
        let mut header = Self { places: [None; COLUMNS], width: 0 };
        for place in 0..record.cells {
            let name = String::from_utf8_lossy(record.cell(place)).trim().to_ascii_lowercase();
            if name.is_empty() {
                continue;
            }
            let Some(nth) = Column::ALL.iter().position(|column| column.name() == name) else {
                let name: String = name.chars().take(64).collect();
                return Err(format!("the header has an unknown column {name:?}; known are {}", known()));
            };
            match header.places.get_mut(nth) {
                Some(free @ None) => *free = Some(place),
                _ => return Err(format!("the header has the column {name} twice")),
            }
            header.width = place + 1;
        }
        if header.paths().is_empty() {
            return Err(format!("the header needs a column other than identifier, of {}", known()));
        }
        Ok(header)
    }

    /// The place of a column; `None` if the file does not have it.
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places.get(column as usize).copied().flatten()
    }

    /// The paths of the fields that the columns are about.
    pub fn paths(&self) -> Vec<String> {
        let present = Column::ALL.into_iter().filter(|column| self.place(*column).is_some());
        let mut paths: Vec<String> =
            present.filter_map(Column::field).map(|field| format!("combo_report.{field}")).collect();
        paths.dedup();
        paths
    }
}
