/**
 * `completion bash | zsh | fish`: what the shell offers at the Tab key.
 */
import { COMMAND_WORDS, type CommandLine, OPTIONS, UsageError } from './command-line.ts'

const COMMANDS = Object.keys(COMMAND_WORDS).join(' ')
const FLAGS = Object.keys(OPTIONS)
  .map((name) => `--${name}`)
  .join(' ')

export async function completion({ words: [shell] }: CommandLine): Promise<void> {
  const script = SCRIPTS[shell ?? '']
  if (!script)
    throw new UsageError('completion takes bash, zsh or fish', 'completion 后面应为 bash、zsh 或 fish')
  process.stdout.write(script())
}

function branches(line: (command: string, words: string) => string): string {
  return Object.entries(COMMAND_WORDS)
    .filter(([, words]) => words.length > 0)
    .map(([command, words]) => line(command, words.join(' ')))
    .join('\n')
}

const SCRIPTS: Readonly<Record<string, () => string>> = {
  bash: () => `# source <(token-broker completion bash)
_token_broker() {
  local offered= typed=\${COMP_WORDS[COMP_CWORD]}
  if [[ $typed == -* ]]; then offered='${FLAGS}'
  elif (( COMP_CWORD == 1 )); then offered='${COMMANDS}'
  else
    case \${COMP_WORDS[1]} in
${branches((command, words) => `      ${command}) offered='${words}' ;;`)}
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$typed"))
}
complete -o default -F _token_broker token-broker
`,
  zsh: () => `#compdef token-broker
# source <(token-broker completion zsh)
_token_broker() {
  local -a offered
  if [[ $PREFIX == -* ]]; then offered=(${FLAGS})
  elif (( CURRENT == 2 )); then offered=(${COMMANDS})
  else
    case $words[2] in
${branches((command, words) => `      ${command}) offered=(${words}) ;;`)}
    esac
  fi
  (( $#offered )) && compadd -a offered || _files
}
compdef _token_broker token-broker
`,
  fish: () => `# token-broker completion fish | source
complete -c token-broker -n __fish_use_subcommand -f -a '${COMMANDS}'
${branches((command, words) => `complete -c token-broker -n '__fish_seen_subcommand_from ${command}' -f -a '${words}'`)}
${Object.keys(OPTIONS)
  .map((name) => `complete -c token-broker -l ${name}`)
  .join('\n')}
`,
}
