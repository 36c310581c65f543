/** `pilot completion`: a script that makes the shell ask `pilot __complete` for proposals at each TAB. */
import { proposeCompletions } from "@stricli/core";
import { localCommand } from "../command.ts";
import { line } from "../context.ts";
import { Usage } from "../failure.ts";
import { argument, text } from "../flags.ts";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_pilot_complete() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(pilot __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pilot_complete pilot`,
  zsh: `#compdef pilot
_pilot() {
  local -a proposals
  proposals=("\${(@f)$(pilot __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( \${#proposals} )) && [[ -n "\${proposals[1]}" ]]; then compadd -- "\${proposals[@]}"; else _files; fi
}
compdef _pilot pilot`,
  fish: `function __pilot_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l proposals (pilot __complete -- $words[2..-1] 2>/dev/null)
  if set -q proposals[1]
    printf '%s\\n' $proposals
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c pilot -f -a '(__pilot_complete)'`,
};

function shell(input: string): string {
  if (!Object.hasOwn(SCRIPTS, input))
    throw new Usage(`${JSON.stringify(input)} is not a shell: there are ${Object.keys(SCRIPTS).join(", ")}`);
  return input;
}

export const completion = localCommand({
  brief: "Print a completion script for a shell",
  examples: [
    "source <(pilot completion bash)",
    "pilot completion zsh > ~/.zfunc/_pilot",
    "pilot completion fish > ~/.config/fish/completions/pilot.fish",
  ],
  flags: {},
  args: [argument(shell, "bash|zsh|fish", "shell to complete in")],
  action: (cli, _flags, chosen) => line(cli, SCRIPTS[chosen]),
});

/** Hidden: prints one proposal per line for the words so far; the last word is the unfinished one. */
export const propose = localCommand({
  brief: "Print proposals for an unfinished command line",
  examples: ["pilot __complete fn l"],
  flags: {},
  args: [argument(text, "WORD", "words so far")],
  repeat: 0,
  action: async (cli, _flags, ...words) => {
    const { application } = await import("../app.ts");
    const proposals = await proposeCompletions(application(false), words, cli);
    // Flags are proposed to whoever begins one: before that, a file or a name is meant.
    const flag = words.at(-1)?.startsWith("-") === true;
    for (const { completion: word } of proposals) if (word.startsWith("-") === flag && word !== "--") line(cli, word);
  },
});
