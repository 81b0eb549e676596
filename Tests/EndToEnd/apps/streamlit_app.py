import pandas
import streamlit

streamlit.title("Served by Streamlit")
rows = 100_000 if streamlit.button("more") else 1
# Of 100,000 rows the table has 2.4 MB, and is one message.
streamlit.dataframe(pandas.DataFrame({"number": range(rows), "text": [f"row {n:012d}" for n in range(rows)]}))
# A page that shows this has got the table: it came first.
streamlit.write(f"There are {rows} rows.")
