"""A labelled set: a vault around one map of 500 links, questions a person asks of it, and the notes each answer needs.

The vault is one household's: a map `@Homestead` with sections, maps below it that lead back to it and to each other,
sections filled by Dataview and Bases, notes that everything links to, a journal and clippings that share the words of
the questions. Which notes a question needs was set down by what they say, before anything looked for them. In each of
them one sentence holds the answer, somewhere in its text.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vaults import write

MAP = "@Homestead.md"
TODAY = "2025-09-14"
LINKS = 500
_HUB_LINKS = 240
_SEED = 20250914

# Heading path of the map → "title :: first paragraph :: the sentence that answers :: annotation in the map, if any".
_CORE = """
## Bees > Colonies
Hive by the lime tree :: The oldest of the four, a long box that Anton built. :: Its queen is from 2022 and was marked yellow in May.
Hive at the ditch :: A swarm that moved in by itself two years ago. :: The queen there was raised from our own stock and is marked green.
Nucleus in the shed window :: Five frames, made from the strong one in June. :: No brood was seen on the fourth, so she may have been lost on her flight.
## Bees > Before winter
Zinc strips with holes :: A strip for every entrance, twelve holes each. :: They are screwed on once the nights stay below eight degrees.
Sugar syrup three to two :: Stirred warm, never boiled. :: Eighteen litres for each box, the last of it by the twentieth of September.
Straps against storms :: Two of them for every box, hooks to the back. :: They have to be on before the November gales.
Oxalic dribbling :: Done once, in the cold, when there is no brood left. :: Thirty millilitres for a strong one, on a calm day around Christmas.
## Orchard
Old pear at the gate :: A Gute Graue, some hundred and twenty years old. :: Only dead wood is taken from it, and that in February.
Quince :: Planted for grandmother's paste. :: The leaves turned brown from blight; the fallen ones are burnt, not composted.
Plum row :: Three trees of the Hauszwetsche. :: Cut right after picking, since wounds of the cold months let silver leaf in.
## Vegetable beds
Bed by the wall :: The warmest of them, stones behind it give off heat at night. :: Tomatoes stood here last year, so beans are due.
Bed under the walnut :: Dry, and little grows in the shade. :: Chard is the only thing that did well there.
Raised bed :: Filled with branches and leaves in 2021. :: It has sunk by a hand and takes two barrows of compost this year.
## Compost and soil
Soil test of March :: Four samples, sent to the laboratory in Soest. :: The lower field is sour at pH 5.4 and wants lime.
Hot heap :: Turned each week while it steams. :: It held sixty-two degrees for five days, so the seeds of weeds are dead.
## Water > Rain tanks
Tank behind the barn :: Five cubic metres of concrete. :: The inlet sieve clogs with needles and has to be cleaned every other week.
Blue barrels :: Six of them in a row at the greenhouse. :: They are emptied and turned over before the first frost.
## Water > Well and pump
Pump in the shaft :: A Grundfos from 2009. :: It starts every forty seconds when the bladder has lost its air.
Bladder vessel :: Twenty-four litres, red. :: The air in it should stand at 1.8 bar with the tap open.
Water analysis :: The laboratory looks at it every third year. :: Nitrate was 38 milligrams, which is still allowed.
## Heating
Pellet boiler :: Makes all of the warm water from October on. :: The ash box is emptied when the meter shows four tons burnt.
Chimney sweep :: Comes twice a year, rings a day before. :: His next visit is on the ninth of October at eight.
Radiator in the study :: Stays cold at the top. :: The valve pin sticks; a tap with a hammer frees it.
## Roof and gutters
Tiles on the north side :: Moss, mostly. :: Four broken ones over the pantry let the wet in.
Valley between the roofs :: Lead, laid in 1988. :: There is a crack of a hand's length where the ladder stood.
Downpipe at the corner :: Zinc. :: It is loose at the second clamp and drums in the wind.
## Electrics
Fuse box in the hall :: Labelled again in 2023. :: Number eleven is both the freezer and the outside light.
Socket in the stable :: Wet in autumn. :: It trips the residual current device whenever the fog comes in.
## Network
Grey box under the stairs :: Everything comes together here. :: It draws nine watts and gets hot in July, so its lid stays off.
## Workshop > Machines
Band saw :: From a closed school. :: The blade runs off the wheel when the upper tyre is worn, as it is now.
Planer :: Two hundred and sixty millimetres wide. :: New knives were set in April, to a tenth.
Bench drill :: Belt driven. :: For steel take the second step, 480 turns.
## Workshop > Hand tools
Chisels of Anton :: Six of them, pear wood handles. :: They are ground at twenty-five degrees and honed at thirty.
Borrowed things :: A list, so that nothing is forgotten. :: The wall scanner went to Pavel in July, the long level to Ines.
## Kitchen > Preserving
Pears in red wine :: Grandmother's way, cloves and a bay leaf. :: Twenty-five minutes at ninety degrees.
Cabbage in the crock :: Twenty kilograms of it. :: Two per cent of salt, and the stone stays on for six weeks.
Plum butter :: Stirred for a day, outside. :: It is done when a wooden spoon stands in it.
## Kitchen > Bread
Friday loaf :: Two kilograms, for the whole week. :: The rye starter is fed on Thursday at nine in the evening.
Flat cakes :: Baked while the oven heats up. :: What is left of the starter goes in, with onion.
## Poultry
Brown layers :: Eleven of them. :: They laid only four eggs a day since the shortening of the light.
Fox in May :: Three were lost. :: He dug under the wire at the elder; it now lies half a metre deep.
Vet for the flock :: Doctor Aram also comes on Sundays. :: Red mite is treated twice, seven days apart.
## Fences and paths
Gate to the road :: Oak, very heavy. :: The lower hinge is torn out of the post :: hangs since the delivery lorry
Path to the ditch :: Gravel on clay. :: Twelve meters are washed out :: impassable with a barrow
Elder hedge :: Three metres high. :: By law it is not cut between March and September :: who cuts it, and when
## Vehicles
Tractor :: A Fendt of 1974. :: The clutch slips in fourth :: must pass the inspection in November
Trailer :: Tipping, 1.5 tons. :: One of the rear lamps is dead :: must pass the inspection in October
Estate car :: Diesel. :: The brake discs are below their measure :: must pass the inspection in October
## Insurance and papers
House policy :: With the Westfalen. :: Hail is covered up to twenty thousand, with five hundred of our own.
Deed of the lower field :: At the notary Brandt in Werl. :: The right of way of the Kemper family stands in it.
Letter to the tax office :: About the forest. :: It was sent on the second of September, registered.
## Neighbours
Kemper :: The farm behind the wood. :: They take the hay of the lower field and bring back dung :: owes us a day with the digger
Ines and Pavel :: The old school house. :: They feed the cats when we are away :: has our spare key
Frau Lohmann :: Eighty-eight, alone. :: Her shopping is on Tuesdays :: has our spare key as well
## Health
Tick bite of June :: Left knee, a red ring. :: Doxycycline for three weeks, until the tenth of July.
Bad back :: Since the beams. :: The exercises are those on the blue sheet, each morning.
## Books
Anton's notebook on grafting :: Ninety pages, in pencil. :: He cuts the scions in January and keeps them in sand.
Handbook of dry stone walls :: From the library sale. :: One long stone goes through the wall every square metre.
"""

# Maps below the map: name, the section that links it, its own sections as above.
_BELOW = {
    "Sun power MOC": (
        "Electrics",
        """
## Panels
East side :: Twelve modules, black. :: String two gives a third less since the maple has grown.
Barn side :: Twenty of them, the older ones. :: One glass is broken at the ridge, from hail.
## Store
Grey cupboard :: Ten kilowatt hours of iron phosphate. :: It is not charged below zero; the heating mat comes on at two degrees.
Spare cells :: In the cool room. :: They were last topped up in April, to half.
## Grid
Meter in the barn :: Counts both ways. :: The company limits us to sixty per cent of the peak.
Contract of feeding in :: Runs until 2031. :: Eleven cents are paid for each unit, always in the following month.
""",
    ),
    "Map of the Cellar": (
        "Kitchen > Preserving",
        """
## Climate
Vent at the north wall :: A pipe of fifteen centimetres. :: It is opened at night in September and shut in frost.
Little hygrometer :: Hangs at the beam. :: Between eighty and ninety per cent the roots stay firm.
## Shelves
Left rack :: Apples, on newspaper. :: Boskoop keep until March, Gravensteiner only to Christmas.
Right rack :: Glasses. :: What is older than 2022 goes first.
Sand box :: For carrots. :: The sand must be damp as for a child's castle.
""",
    ),
    "House net MOC": (
        "Network",
        """
## Rooms
Loft antenna :: Points to the stable. :: It loses the link in heavy rain; the spare one lies in the drawer.
Study socket :: Two lines. :: The left one is dead since the floor was laid.
## Services
Door bell camera :: Sends to nobody outside. :: Films are deleted after three days.
Picture shelf :: The family's photographs. :: Its second disk shows forty-one bad sectors.
""",
    ),
    "Doctor visits MOC": (
        "Health",
        """
## Mara
Eye specialist :: In Hamm, near the station. :: The pressure was nineteen on the left; again in six months.
Teeth :: Doctor Weiss. :: The crown at the lower right is paid by the fund to two thirds.
## Children
Jab list :: The yellow booklets. :: Tick fever is due for both in spring.
Allergy test of Lina :: On a Monday. :: Hazel and birch, strongly; wasps not at all.
""",
    ),
}
# A map below the map below: two steps from the first only by way of the other.
_DEEPER = {
    "Safe copies MOC": (
        "House net MOC",
        "Services",
        """
## Nightly
Copy to the barn :: Over the antenna, at two. :: It has failed since the ninth because the disk there is full.
## Away
Disk at Ines :: Exchanged every quarter. :: The last exchange was on the first of July.
""",
    )
}

# Notes that only queries gather: title :: first paragraph :: the sentence that answers.
_REPAIRS = """
Cellar window :: The pane by the steps. :: Glass of 42 by 61, four millimetres.
Oven door :: It does not close. :: The spring has part number 07-4418.
Bath fan :: Loud. :: The bearing is gone; the whole thing costs thirty-nine.
Step at the back door :: Oak, rotten on the left. :: A board of 28 by 110.
"""
_DONE_REPAIRS = """
Kitchen tap :: It dripped. :: A ring of 12 by 2 was put in.
Stable lamp :: Dark. :: The ballast was replaced.
Cat flap :: Stuck. :: Oiled, and it swings.
"""
_SEEDS_LOW = """
Winter purslane :: From the Dreschflegel people. :: One bag of two grams will do.
Runner bean Blackcoat :: Climbs to three metres. :: Twenty grains are missing.
Leek Blue Solaise :: Hardy. :: Two bags, as the old ones sprouted badly.
"""
_SEEDS_FULL = """
Radish Riesenbutter :: Big. :: Three bags are left.
Parsnip White King :: Slow. :: Fresh, for two years.
Kale Westland :: Curly. :: A jar full, our own.
"""

# What each section's other notes are about, and the signs by which they are called.
_ABOUT = {
    "Bees > Colonies": "frame brood wax swarm smoker comb drone veil pollen nectar",
    "Bees > Before winter": "lid insulation wasp weight cover fondant fleece entrance",
    "Orchard": "apple cherry scion rootstock mulch harvest crate ladder canker blossom",
    "Vegetable beds": "lettuce carrot pea onion net slug hoe row sowing thinning",
    "Compost and soil": "humus worm clay sieve manure lime straw leaf bin mould",
    "Water > Rain tanks": "hose overflow filter float lid leaf sieve mosquito sensor",
    "Water > Well and pump": "pressure shaft cable valve gauge rope iron depth switch",
    "Heating": "radiator flue ash thermostat pellet bleed boiler pump timer soot",
    "Roof and gutters": "tile batten lead moss ridge snow felt ladder leaf hook",
    "Electrics": "cable socket switch lamp meter breaker earth conduit timer plug",
    "Network": "router switch cable phone printer camera address rack antenna password",
    "Workshop > Machines": "lathe belt dust fence blade motor grinder vice clamp oil",
    "Workshop > Hand tools": "plane saw file hammer rasp brace axe scraper mallet square",
    "Kitchen > Preserving": "jam jar cordial vinegar chutney label rubber pot drying funnel",
    "Kitchen > Bread": "dough flour crust oven basket proofing grain mill yeast stone",
    "Poultry": "feed perch egg nest grit cock hatch fence moult water",
    "Fences and paths": "post wire gravel gate hedge hinge slab edging bench stile",
    "Vehicles": "tyre battery brake oil clutch lamp jack filter fuel trailer",
    "Insurance and papers": "policy receipt deed tax warranty contract notary letter fee form",
    "Neighbours": "party hay key path dog fence digger wood visit loan",
    "Health": "doctor tooth knee allergy cough exercise glasses blood sleep diet",
    "Books": "novel atlas manual essay poem diary cookbook history map letters",
}
_SIGNS = (
    "log", "in 2022", "in 2023", "in 2024", "prices", "supplier", "measures", "ideas", "mistakes", "comparison",
    "from Anton", "checklist", "questions", "sketch", "second try", "old way",
)  # fmt: skip
_LINES = (
    "The {a} was looked at again, and the {b} with it; nothing had changed since the rain.",
    "We ordered a new {a} for {n} euros, because the {b} no longer fits.",
    "Before winter the {a} has to be checked, as it leaks a little where it meets the {b}.",
    "Mara thinks that the {a} should stand nearer to the {b}, where it is dry.",
    "It took {n} minutes to clean the {a}; the {b} can wait until spring.",
    "The {b} is the older one. The {a} came later, and was never quite right.",
    "Pavel showed how he does it: first the {b}, then slowly the {a}.",
    "Open question: does the {a} last another year if the {b} is kept in the cellar?",
)
# What people write behind a link when they write nothing.
_GENERIC = ("notes", "see there", "more on this", "to be sorted", "old", "keep", "", "", "", "")


@dataclass(frozen=True, slots=True)
class Case:
    """A question, the notes that an answer needs, and how they lie.

    Attributes:
        text: as a person types it.
        needs: titles of the notes.
        how: "words" (they share words with the question), "section" (their place in the map says it), "line" (what
            stands beside the link says it), "below" (two steps, by a map in the map), "query" (no link leads there).
    """

    text: str
    needs: tuple[str, ...]
    how: str


def _case(how: str, text: str, needs: str) -> Case:
    return Case(text, tuple(name.strip() for name in needs.split(";")), how)


CASES = (
    _case("words", "What colour are our queens marked with?", "Hive by the lime tree; Hive at the ditch"),
    _case("section", "What do I still have to do for the bees before it gets cold?", "Zinc strips with holes; Sugar syrup three to two; Straps against storms; Oxalic dribbling"),
    _case("words", "When may plum and pear trees be cut?", "Old pear at the gate; Plum row"),
    _case("section", "Is any tree in the orchard ill?", "Quince"),
    _case("section", "Which vegetable bed could take something new?", "Bed by the wall; Bed under the walnut; Raised bed"),
    _case("words", "Where does our soil need lime?", "Soil test of March"),
    _case("section", "What needs doing on the rain tanks in autumn?", "Tank behind the barn; Blue barrels"),
    _case("section", "Why does the well keep switching on and off?", "Pump in the shaft; Bladder vessel"),
    _case("words", "How much nitrate is in our water?", "Water analysis"),
    _case("section", "What is wrong with the roof?", "Tiles on the north side; Valley between the roofs; Downpipe at the corner"),
    _case("words", "When is the chimney sweep coming?", "Chimney sweep"),
    _case("section", "Which faults do the electrics have?", "Socket in the stable; Fuse box in the hall"),
    _case("words", "At which angle do I grind the chisels?", "Chisels of Anton"),
    _case("section", "Are the machines in the workshop in order?", "Band saw; Planer; Bench drill"),
    _case("words", "Who borrowed the wall scanner?", "Borrowed things"),
    _case("words", "How long do the pears go into the pot, and how much salt does cabbage get?", "Pears in red wine; Cabbage in the crock"),
    _case("section", "When is the starter for the bread fed?", "Friday loaf"),
    _case("section", "How are the hens, has the poultry lost any, and do they lay?", "Brown layers; Fox in May; Vet for the flock"),
    _case("line", "Which vehicles have an inspection coming up, and what would fail?", "Tractor; Trailer; Estate car"),
    _case("line", "Who has a spare key to our house?", "Ines and Pavel; Frau Lohmann"),
    _case("line", "Which paths and gates are impassable or hanging?", "Gate to the road; Path to the ditch"),
    _case("line", "Who owes us something among the neighbours?", "Kemper"),
    _case("words", "What does the house policy pay for hail?", "House policy"),
    _case("below", "How much do we get for the sun power that we feed in, and is it limited?", "Contract of feeding in; Meter in the barn"),
    _case("below", "Why do the panels give less this year?", "East side; Barn side"),
    _case("below", "Can the battery store of the solar plant stay out in the frost?", "Grey cupboard"),
    _case("below", "How do I keep the climate of the cellar right?", "Vent at the north wall; Little hygrometer"),
    _case("below", "What is on the shelves in the cellar and how long does it keep?", "Left rack; Right rack; Sand box"),
    _case("below", "Does the house net have a weak spot?", "Loft antenna; Study socket; Picture shelf"),
    _case("below", "Which doctor visits are due for Mara and the children?", "Eye specialist; Teeth; Jab list"),
    _case("below", "Do the safe copies of our data still work?", "Copy to the barn; Disk at Ines"),
    _case("query", "Which repairs are still open?", "Cellar window; Oven door; Bath fan; Step at the back door"),
    _case("query", "What material do I have to buy for the repairs in the house?", "Cellar window; Oven door; Bath fan; Step at the back door"),
    _case("query", "Which seeds do we have to order?", "Winter purslane; Runner bean Blackcoat; Leek Blue Solaise"),
    _case("query", "How many bags of seeds are missing for next year?", "Winter purslane; Runner bean Blackcoat; Leek Blue Solaise"),
    _case("section", "What did I get from the doctor, apart from the specialists?", "Tick bite of June; Bad back"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Household:
    """The vault as it was made.

    Attributes:
        files: path → text.
        answers: title of a needed note → the sentence in it that answers.
        paths: title → path.
    """

    files: dict[str, str]
    answers: dict[str, str]
    paths: dict[str, str]


def household() -> Household:
    """The vault, the same at each call."""
    return _Maker().make()


def make(root: Path) -> Household:
    """Write the vault into a folder."""
    made = household()
    write(root, made.files)
    return made


class _Maker:
    """Writes the notes one by one, with dice that fall the same way each time."""

    def __init__(self) -> None:
        self.dice = random.Random(_SEED)
        self.files: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.paths: dict[str, str] = {}

    def make(self) -> Household:
        sections: dict[str, list[tuple[str, str]]] = {}
        for heading, title, first, answer, line in _told(_CORE):
            self.note(f"{_folder(heading)}/{title}", title, first, answer, heading)
            sections.setdefault(heading, []).append((title, line))
        for name, (heading, text) in _BELOW.items():
            self.below(name, text)
            sections[heading].append((name, "the map of it"))
        for name, (_, _, text) in _DEEPER.items():
            self.below(name, text)
        for folder, text, properties in (
            ("House/Repairs", _REPAIRS, "type: repair\nstatus: open\n"),
            ("House/Repairs", _DONE_REPAIRS, "type: repair\nstatus: done\n"),
            ("Seeds", _SEEDS_LOW, "stock: low\n"),
            ("Seeds", _SEEDS_FULL, "stock: full\n"),
        ):
            for _, title, first, answer, _ in _told("## x\n" + text):
                self.note(f"{folder}/{title}", title, first, answer, self.dice.choice(list(_ABOUT)), properties)
        self.fill(sections)
        self.map(sections)
        self.hubs()
        self.noise()
        return Household(self.files, self.answers, self.paths)

    def below(self, name: str, text: str) -> None:
        lines = ["---\ntype: moc\n---\nUp: [[@Homestead]]", f"Beside: [[{self.dice.choice([*_BELOW, *_DEEPER])}]]"]
        heading = ""
        for section, title, first, answer, _ in _told(text):
            if section != heading:
                heading = section
                lines.append(f"## {heading}")
            self.note(f"{name.removesuffix(' MOC').removeprefix('Map of the ')}/{title}", title, first, answer, None)
            lines.append(f"- [[{title}]]")
            lines += [f"- [[{inner}]]" for inner, where in _DEEPER.items() if where[:2] == (name, heading)]
        # People leave unfinished and far-off things in their maps as well.
        lines += ["## Other", "- [[Inventory]]", "- [[Something not written yet]]"]
        self.put(name, "\n".join(lines) + "\n")

    def note(self, path: str, title: str, first: str, answer: str, heading: str | None, properties: str = "") -> None:
        parts = [self.prose(heading) for _ in range(self.dice.randint(1, 4))]
        parts.insert(self.dice.randint(0, len(parts)), answer)
        self.answers[title] = answer
        front = f"---\n{properties}created: 2024-0{self.dice.randint(1, 9)}-11\n---\n"
        self.put(path, front + "\n\n".join((first, *parts)) + "\n")

    def put(self, path: str, text: str) -> None:
        self.files[f"{path}.md"] = text
        self.paths[path.rpartition("/")[2]] = f"{path}.md"

    def prose(self, heading: str | None) -> str:
        words = (_ABOUT[heading] if heading else " ".join(_ABOUT.values())).split()
        lines = self.dice.sample(_LINES, self.dice.randint(2, 4))
        said = [
            line.format(a=self.dice.choice(words), b=self.dice.choice(words), n=self.dice.randint(3, 90))
            for line in lines
        ]
        if self.dice.random() < 0.6:
            said.append("Talked about it with [[Mara]].")
        return " ".join(said)

    def fill(self, sections: dict[str, list[tuple[str, str]]]) -> None:
        """Other notes for the sections, in turns, until the map has its links."""
        waiting = {
            heading: [f"{noun.capitalize()} {sign}" for noun in nouns.split() for sign in _SIGNS]
            for heading, nouns in _ABOUT.items()
        }
        for titles in waiting.values():
            self.dice.shuffle(titles)
        count = sum(map(len, sections.values()))
        while count < LINKS:
            heading = self.dice.choice(list(_ABOUT))
            title = waiting[heading].pop()
            if title in self.paths:
                continue
            text = "\n\n".join(self.prose(heading) for _ in range(self.dice.randint(1, 5)))
            self.put(f"{_folder(heading)}/{title}", f"{text}\n")
            place = self.dice.randint(0, len(sections[heading]))
            sections[heading].insert(place, (title, self.dice.choice(_GENERIC)))
            count += 1

    def map(self, sections: dict[str, list[tuple[str, str]]]) -> None:
        lines = ["---\ntype: moc\ntags: [moc]\n---", "All that has to do with the house and the land.", ""]
        above = ""
        for heading, members in sections.items():
            top, _, sub = heading.partition(" > ")
            if top != above:
                lines.append(f"## {top}")
                above = top
            lines += [f"### {sub}"] if sub else []
            lines += [f"- [[{title}]]" + (f" – {line}" if line else "") for title, line in members]
        lines += ["## Repairs", '```dataview\nLIST FROM "House/Repairs" WHERE status = "open" SORT file.name\n```']
        lines += ["## Seeds to order", "![[Seeds.base#Low]]"]
        self.put("@Homestead", "\n".join(lines) + "\n")
        self.files["Seeds.base"] = (
            "filters: 'file.inFolder(\"Seeds\")'\nviews:\n"
            "  - {type: table, name: All}\n  - {type: table, name: Low, filters: 'stock == \"low\"'}\n"
        )

    def hubs(self) -> None:
        """A person whom most notes name, and a list of nearly everything: both link to much and say little."""
        some = self.dice.sample(sorted(self.paths), _HUB_LINKS)
        self.put("People/Mara", "Mara, at home here since 2011. " + " ".join(f"[[{one}]]" for one in some) + "\n")
        self.dice.shuffle(some)
        self.put("Inventory", "".join(f"- [[{one}]]\n" for one in some))

    def noise(self) -> None:
        """A journal that touches everything, and clippings full of the questions' words about other people's things."""
        for day in range(120):
            text = "\n".join(f"- {self.prose(self.dice.choice(list(_ABOUT)))}" for _ in range(self.dice.randint(2, 5)))
            self.put(f"Journal/2025-{day // 28 + 5:02}-{day % 28 + 1:02}", f"## Log\n{text}\n")
        for number, case in enumerate(CASES):
            words = [word.strip("?,.").lower() for word in case.text.split()]
            for part in range(2):
                mixed = [" ".join(self.dice.sample(words, min(len(words), 7))) for _ in range(6)]
                text = " ".join(f"A reader asks: {one}? The paper says it depends." for one in mixed)
                self.put(f"Clippings/Cutting {number}-{part}", f"{text}\n\n{self.prose(None)}\n")


def _told(text: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Section, title, first paragraph, answer and annotation of each note in a table."""
    heading = ""
    for row in filter(None, text.splitlines()):
        if row.startswith("## "):
            heading = row[3:]
        else:
            title, first, answer, line = (*(part.strip() for part in row.split(" :: ")), "")[:4]
            yield heading, title, first, answer, line


def _folder(heading: str) -> str:
    return f"Home/{heading.partition(' > ')[0]}"
