// The prototype extensions of the app, for every test.
import { setup } from "obsidian-test-mocks/setup";

setup();
