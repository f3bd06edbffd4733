"""`animate completion`: scripts that let a shell complete commands, flags and values."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from app.cli.flags import argument, command, make_app, switch
from app.cli.output import say
from app.cli.verbs import ANSWER
from app.errors import ExitCode, not_one_of

# All scripts call the portrait-animate beside the program that was typed, since it may be ImageMagick's animate.
BASH: Final = r"""_portrait_animate() {
    local program="${1%portrait-animate}" line asked=
    program="${program%animate}portrait-animate"
    [[ $program == "~/"* ]] && program="$HOME/${program:2}"
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            $'\t'*) asked="${line#?}" ;;
            ?*) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("$program" ANSWER bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -gt 0 && -n $asked ]]; then
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        compopt -o filenames 2>/dev/null
    elif [[ -z $asked ]]; then
        compopt +o default +o bashdefault 2>/dev/null
    elif [[ $asked == folders ]]; then
        compopt +o default -o dirnames 2>/dev/null
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o bashdefault -o default -F _portrait_animate animate portrait-animate
"""
ZSH: Final = r"""#compdef animate portrait-animate
_portrait_animate() {
    local program=${${(Q)words[1]}%portrait-animate} line asked=
    program=${program%animate}portrait-animate
    program=${program/#\~\//$HOME/}
    local -a typed found open
    typed=("${(@Q)words[1,CURRENT-1]}")
    shift typed
    for line in ${(f)"$($program ANSWER zsh "${typed[@]}" "${(Q)PREFIX}" 2>/dev/null)"}; do
        case $line in
            $'\t'*) asked=${line#?} ;;
            *=$'\t'*) open+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( ${#found} )) && _describe value found
    (( ${#open} )) && _describe value open -S ''
    [[ $PREFIX == -*=* ]] && compset -P '*='
    case $asked in
        files) _files ;;
        folders) _files -/ ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _portrait_animate "$@"
else
    compdef _portrait_animate animate portrait-animate
fi
"""
FISH: Final = r"""function __portrait_animate
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l program (string replace -r '(portrait-)?animate$' portrait-animate -- $before[1])
    set program (string replace -r '^~/' "$HOME/" -- $program)
    set -e before[1]
    for line in ($program ANSWER fish $before "$typed" 2>/dev/null)
        switch $line
            case \tfiles \tfolders
                set -l flag (string match -r '^-[^=]*=' -- $typed; or echo)
                for name in (__fish_complete_path (string replace -r '^-[^=]*=' '' -- $typed))
                    echo -- $flag$name
                end
            case '*'
                echo -- $line
        end
    end
end
for program in animate portrait-animate
    complete -c $program -e
    complete -c $program -k -f -a '(__portrait_animate)'
end
"""
POWERSHELL: Final = r"""Register-ArgumentCompleter -Native -CommandName animate, portrait-animate -ScriptBlock {
    param($typed, $tree, $position)
    $elements = @($tree.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position })
    $words = @($elements | Select-Object -Skip 1 | ForEach-Object {
        if ($_.Value) { $_.Value } else { $_.Extent.Text }
    })
    $program = "$($tree.CommandElements[0].Value)" -replace '(portrait-)?animate(\.exe)?$', 'portrait-animate'
    & $program ANSWER powershell @words "=$typed" 2>$null | ForEach-Object {
        $word, $text = $_ -split "`t", 2
        if ($word) {
            $shown = if ($word -match '[\s'']') { "'" + $word.Replace("'", "''") + "'" } else { $word }
            if (-not $text) { $text = $word }
            [System.Management.Automation.CompletionResult]::new($shown, $word, 'ParameterValue', $text)
        }
    }
}
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH, "powershell": POWERSHELL}
HOW: Final = {
    "bash": 'eval "$(portrait-animate completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(portrait-animate completion zsh)" in ~/.zshrc, after compinit',
    "fish": "portrait-animate completion fish | source in ~/.config/fish/config.fish",
    "powershell": "portrait-animate completion powershell | Out-String | Invoke-Expression in $PROFILE",
}

app = make_app("Print the script that lets a shell complete commands, flags and values.")


def completion(values: Mapping[str, Any]) -> int:
    """Print the script that lets a shell complete commands, flags and values; docs/install.md says where to put it."""
    shell = str(values["shell"]).lower()
    if shell not in SCRIPTS:
        raise not_one_of("SHELL", values["shell"], tuple(SCRIPTS))
    if sys.stdout.isatty():
        say(f"# To use it, put this line where your shell reads it at its start: {HOW[shell]}")
    say(SCRIPTS[shell].replace("ANSWER", ANSWER))
    return int(ExitCode.OK)


command(
    app,
    [
        argument("shell", "SHELL", f"Your shell: {', '.join(SCRIPTS)}."),
        switch("debug", ["--debug"], "Show the traceback of an error.", "Options"),
    ],
    completion,
    armed=True,
    help=completion.__doc__,
)
