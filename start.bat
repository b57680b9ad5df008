@echo off
rem Sets up what is missing in .venv beside this file, then runs stable-core; without arguments, stable-core serve.
setlocal
set "here=%~dp0"
set "venv=%here%.venv"
fc /b "%here%requirements.lock" "%venv%\made-from-requirements.lock" >nul 2>&1 && goto run
echo stable-core: setting up, this is done once 1>&2
set "python=python"
where py >nul 2>&1 && set "python=py -3"
%python% -c "import sys; sys.exit(sys.version_info < (3, 11))" || goto no_python
if not exist "%venv%\Scripts\python.exe" %python% -m venv "%venv%" || exit /b 1
"%venv%\Scripts\python" -m pip install --quiet --disable-pip-version-check uv || exit /b 1
pushd "%here%"
set "PYTHONPATH=src"
"%venv%\Scripts\python" -m stable_core.environments pip install --python "%venv%\Scripts\python.exe" --no-deps --requirements requirements.lock --editable .
set "failed=%errorlevel%"
set "PYTHONPATH="
popd
if not "%failed%"=="0" exit /b 1
copy /y "%here%requirements.lock" "%venv%\made-from-requirements.lock" >nul
:run
if "%~1"=="" ("%venv%\Scripts\stable-core" serve) else ("%venv%\Scripts\stable-core" %*)
exit /b %errorlevel%
:no_python
echo stable-core: Python 3.11 or newer is needed. 1>&2
exit /b 1
