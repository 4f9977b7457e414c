"""The shop's files into the raw tables: what the files are, how they are read, how they are loaded.

Which files: every file of the folder is one of these, so none is left out in silence.

- A part of a data set: a known name (case, blanks and punctuation do not count) and perhaps a number,
  ending in .csv, .txt, .tsv, .tab, .psv, .xlsx, .xlsm, each perhaps with .gz, or nothing. The content says
  what it is.
- A known companion, which is skipped: checksums and signatures (.md5, .sha256, .crc, .asc), marks that a
  delivery is whole (_SUCCESS, .done, .ok, .ready), README, LICENSE, dot files, Excel's lock files.
- An error of the data set whose name it bears or resembles, or whose columns it has, whatever its name: an
  upload under way (.part, .tmp, .crdownload), an archive, an unknown ending, a folder, a name like a part's
  that is none (`Online_Sales_H2.csv`), a misspelt one.
- Anything else: a warning in the log, and once in `raw.ingestion_ledger` with the reason in `left_out`.

Text: UTF-8, or UTF-16 or UTF-32 with a byte order mark; anything else is refused with line and byte. Lines
may end in LF, CRLF, CR or in all of them; quoted cells may hold line breaks in files of any size. Commas,
tabs, semicolons or vertical bars separate the cells; where it is not commas, a number with a comma (and
between semicolons one like 1.234) is refused, since it means another number where commas are decimal. Cells
stay as they are. Headers match without blanks, underscores, hyphens and case; two that come to one name are
an error.

Workbooks: every visible sheet with all of the data set's columns is loaded; another one that may hold rows
(hidden, with some of the columns, as wide, its header below a title, another data set's) is an error, the
rest is named in log and ledger. A date comes as ISO 8601, a percent cell as `10%`, a whole number as its
digits, one of more than 15 digits that the file holds with an exponent with that exponent, so that no id is
made up. Hidden rows and columns are data. An error (#N/A), a formula that was never calculated and merged
cells are errors that name the cell.

A row whose cells are all blank is no row. `_source_row` is the row's place below the header, blank rows
counted, so line 1 + `_source_row` of an ordinary file; the sheets of a workbook are numbered through.
"""
