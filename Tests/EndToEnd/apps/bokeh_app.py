from bokeh.layouts import column
from bokeh.models import Button, ColumnDataSource, Div, TextInput
from bokeh.plotting import curdoc, figure

said = Div(text="pressed 0 times", name="said")
field = TextInput(name="field")
button = Button(label="press", name="button")
points = ColumnDataSource({"x": [], "y": []}, name="points")
plot = figure()
plot.scatter("x", "y", source=points)
presses = 0


def press():
    global presses
    presses += 1
    said.text = f"pressed {presses} times"
    points.data = {"x": list(range(100_000 * presses)), "y": list(range(100_000 * presses))}


def answer(attribute, old, new):
    said.text = new.upper()


button.on_click(press)
field.on_change("value", answer)
curdoc().add_root(column(button, field, said, plot))
