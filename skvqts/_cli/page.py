"""A page in one file: text, tables and pictures."""

import base64
import html
import io

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; }
img { max-width: 100%; } table { border-collapse: collapse; }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; }
pre { overflow-x: auto; font-size: 12px; line-height: 1.35; }
"""


class Page:
    """Collects the parts of a page.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title):
        self.title = title
        self.parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text):
        """Begin a section."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text):
        """Add a paragraph."""
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def printed(self, text):
        """Add what a terminal would show, with its spaces and line ends."""
        self.parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(self, columns, rows):
        """Add a table of words and numbers."""
        cells = [
            "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
            for tag, row in [("th", columns), *(("td", row) for row in rows)]
        ]
        self.parts.append(f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>")

    def picture(self, figure, description):
        """Add a figure of matplotlib."""
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=90)
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        source = f"data:image/png;base64,{data}"
        self.parts.append(f'<img alt="{html.escape(description)}" src="{source}">')

    def save(self, path):
        """Write the page."""
        head = (
            f'<meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        )
        body = "\n".join(self.parts)
        path.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body>\n'
            "</html>\n",
            encoding="utf-8",
        )
