"""The page of `culvert demo`, in Chromium, as somebody at it sees and uses it."""

import json
import re

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

PANES = ["a", "b"]


class Page:
    """The demo's page; both of its clients are open, A by whatever gets through and B by polling."""

    def __init__(self, browser, demo, query="", wide=1280):
        self.browser = browser
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # What an earlier page said is read away.
        self.resize(wide)
        browser.get(demo.page + query)
        for pane in PANES:
            self.wait_state(pane, "open")

    def resize(self, width, height=900, scheme="light"):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def wait(self, condition, what):
        WebDriverWait(self.browser, 40, poll_frequency=0.05).until(lambda _: condition(), what)

    def wait_value(self, script, what):
        """What the script gives, as soon as that is something."""
        return WebDriverWait(self.browser, 40, poll_frequency=0.05).until(
            lambda browser: browser.execute_script(script), what)

    def find(self, pane, part):
        return self.browser.find_element(By.ID, f"{pane}-{part}")

    def text(self, pane, part):
        return self.browser.execute_script(
            "return document.getElementById(arguments[0]).textContent", f"{pane}-{part}")

    def click(self, pane, part):
        self.find(pane, part).click()

    def choose(self, pane, part, text):
        Select(self.find(pane, part)).select_by_visible_text(text)

    def fill(self, pane, part, value):
        field = self.find(pane, part)
        field.clear()
        field.send_keys(str(value))

    def number(self, pane, part):
        return int(re.sub(r"\D", "", self.text(pane, part)) or -1)

    def wait_state(self, pane, state):
        self.wait(lambda: self.text(pane, "state") == state, f"{pane} to be {state}")

    def wait_lane(self, pane, lane):
        self.wait(lambda: self.text(pane, "lane") == lane, f"{pane} to have {lane}")

    def say(self, pane, text):
        self.find(pane, "input").send_keys(text)
        self.click(pane, "send")

    def entries(self, pane, kind):
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((e) => [...e.children].map((c) => c.textContent))"
            ".filter(([, kind]) => kind === arguments[1]).map(([,, what]) => what)", f"#{pane}-log > p", kind)

    def messages(self, pane):
        return self.entries(pane, "message")

    def wait_messages(self, pane, *texts):
        self.wait(lambda: self.messages(pane) == list(texts), f"{texts} in {pane}")

    def tally(self, pane):
        """(in order, missing, twice) of the streams that came."""
        found = re.findall(r"[\d,]+(?= in order| missing| twice)", self.text(pane, "tally"))
        return tuple(int(n.replace(",", "")) for n in found) or (0, 0, 0)

    def start_stream(self, pane, pace=200):
        self.fill(pane, "pace", pace)
        self.click(pane, "stream")

    def wait_ordered(self, pane, count):
        """That many more of the streams have come."""
        goal = self.tally(pane)[0] + count
        self.wait(lambda: self.tally(pane)[0] >= goal, f"{goal} messages in order")

    def wait_settled(self, pane):
        """The stream is stopped, and all of it has been acknowledged and come back."""
        self.click(pane, "stream")
        last = int(self.entries(pane, "stream")[-1].split()[-1].replace(",", ""))
        self.wait(lambda: self.number(pane, "acked") == self.number(pane, "sent"), "acknowledgements")
        return last

    def requests(self):
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return urls + [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]

    def press(self, *keys):
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    @property
    def focused(self):
        return self.browser.switch_to.active_element.get_attribute("id")
