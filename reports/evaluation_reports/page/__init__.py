"""The report as a page of HTML and as Markdown, with plots that are drawn here."""
